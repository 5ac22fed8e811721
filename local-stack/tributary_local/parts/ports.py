"""Who has a port."""

import socket

import psutil

from tributary_local.failure import Failure
from tributary_local.parts.processes import describe


def is_free(port: int) -> bool:
    """Whether `port` of the loopback interface can be listened on."""
    with socket.socket() as probe:
        # As servers do: a connection that lingers after its server has ended does not occupy the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def require_free(port: int, choose: str) -> None:
    """Raises Failure naming who has the port; `choose` is a command line with another one."""
    if not is_free(port):
        raise Failure(f"port {port} is in use by {owner(port)}", f"Stop that, or choose another port: {choose}")


def owner(port: int) -> str:
    """The process that listens on `port`, as far as this user may see it."""
    for process in psutil.process_iter():
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return describe(process)
    return "a process that this user cannot see"
