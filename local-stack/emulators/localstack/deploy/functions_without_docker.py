"""Lets LocalStack 4.8.1 create Lambda functions where there is no Docker engine; invoking them stays impossible.

Creating a version, LocalStack fetches a binary and an image that only an invocation needs, and fails without them. Its
pollers would invoke a function in vain, again and again until a record is too old, and see only then that their mapping
has been deleted: it would stay, and so refuse one of the same stream after it.
LocalStack executes the file inside its process, before it listens.
"""

from localstack.services.lambda_.event_source_mapping.pollers.stream_poller import StreamPoller
from localstack.services.lambda_.invocation.docker_runtime_executor import DockerRuntimeExecutor


def prepare_nothing(cls: type, function_version: object) -> None:
    """In place of the downloads."""


def poll_nothing(self: StreamPoller) -> None:
    """In place of reading the stream: nobody could be invoked."""


DockerRuntimeExecutor.prepare_version = classmethod(prepare_nothing)
StreamPoller.poll_events = poll_nothing
