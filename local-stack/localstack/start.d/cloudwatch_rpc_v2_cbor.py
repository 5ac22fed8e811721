"""Teaches LocalStack 4.8.1 the protocol that current AWS SDKs speak to CloudWatch.

The SDKs moved CloudWatch from the Query protocol to Smithy RPC v2 CBOR
(https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html); this LocalStack parses only the
former. Each such request is decoded and put to LocalStack's own CloudWatch through its Query client.
LocalStack executes the file inside its process, before it listens.
"""

import cbor2
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from localstack.aws.connect import connect_to
from localstack.http import Request, Response
from localstack.services.edge import ROUTER
from localstack.utils.aws.request_context import extract_region_from_headers


def answer(body: dict, status: int = 200) -> Response:
    """An RPC v2 CBOR response: `body` as one CBOR map, timestamps as epoch seconds (tag 1)."""
    return Response(
        cbor2.dumps(body, datetime_as_timestamp=True),
        status=status,
        headers={"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"},
    )


def serve(request: Request, operation: str) -> Response:
    """Runs one CloudWatch operation; a service error becomes the protocol's `__type` and `message`."""
    client = connect_to(region_name=extract_region_from_headers(request.headers)).cloudwatch
    parameters = cbor2.loads(request.get_data() or b"\xa0")
    try:
        result = getattr(client, xform_name(operation))(**parameters)
    except ParamValidationError as error:
        return answer({"__type": "ValidationException", "message": str(error)}, 400)
    except ClientError as error:
        details = error.response
        return answer(
            {"__type": details["Error"]["Code"], "message": details["Error"].get("Message", "")},
            details["ResponseMetadata"]["HTTPStatusCode"],
        )
    result.pop("ResponseMetadata", None)
    return answer(result)


ROUTER.add("/service/GraniteServiceVersion20100801/operation/<operation>", serve, methods=["POST"])
