"""Makes LocalStack listen on the loopback interface only, as GATEWAY_LISTEN says it does.

LocalStack 4.8.1 ignores the host part of an IPv4 GATEWAY_LISTEN and listens on every interface, which
would offer an open S3 to the whole network. In a container that is right, so compose leaves this out.
LocalStack executes the file inside its process, before it listens.
"""

from functools import partial

from twisted.internet import endpoints

endpoints.TCP4ServerEndpoint = partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
