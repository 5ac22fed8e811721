"""Lets LocalStack 4.8.1 create Lambda functions where there is no Docker engine; invoking them stays impossible.

Creating a version, LocalStack fetches a binary and an image that only an invocation needs, and fails without them.
LocalStack executes the file inside its process, before it listens.
"""

from localstack.services.lambda_.invocation.docker_runtime_executor import DockerRuntimeExecutor


def prepare_nothing(cls: type, function_version: object) -> None:
    """In place of the downloads."""


DockerRuntimeExecutor.prepare_version = classmethod(prepare_nothing)
