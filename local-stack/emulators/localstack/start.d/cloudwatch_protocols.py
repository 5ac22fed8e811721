"""Teaches LocalStack 4.8.1 the protocols that current AWS SDKs speak to CloudWatch.

The SDKs moved CloudWatch from the Query protocol to Smithy RPC v2 CBOR
(https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html; Rust, Go, JavaScript) and to AWS JSON 1.0
(https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html; Python); this LocalStack parses only the first.
Each such request is decoded and put to LocalStack's own CloudWatch through its Query client.
LocalStack executes the file inside its process, before it listens.
"""

import gzip
import json
from datetime import datetime

import cbor2
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from localstack.aws.connect import connect_to
from localstack.aws.handlers import preprocess_request
from localstack.http import Request, Response
from localstack.services.edge import ROUTER
from localstack.utils.aws.request_context import extract_region_from_headers

JSON_TARGET = "GraniteServiceVersion20100801."


def call(request: Request, operation: str, parameters: dict) -> tuple[dict, int]:
    """Runs one CloudWatch operation; a service error becomes the protocols' `__type` and `message`."""
    client = connect_to(region_name=extract_region_from_headers(request.headers)).cloudwatch
    try:
        result = getattr(client, xform_name(operation))(**parameters)
    except ParamValidationError as error:
        return {"__type": "ValidationException", "message": str(error)}, 400
    except ClientError as error:
        details = error.response
        body = {"__type": details["Error"]["Code"], "message": details["Error"].get("Message", "")}
        return body, details["ResponseMetadata"]["HTTPStatusCode"]
    result.pop("ResponseMetadata", None)
    return result, 200


def serve_cbor(request: Request, operation: str) -> Response:
    """One CBOR map in and one out, timestamps as epoch seconds (tag 1)."""
    body, status = call(request, operation, cbor2.loads(request.get_data() or b"\xa0"))
    return Response(
        cbor2.dumps(body, datetime_as_timestamp=True),
        status=status,
        headers={"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor"},
    )


def serve_json(chain, context, response: Response) -> None:
    """One JSON object in and one out, timestamps as epoch seconds. Other services' requests go on their way."""
    request = context.request
    target = request.headers.get("x-amz-target", "")
    if not target.startswith(JSON_TARGET):
        return
    # LocalStack decodes bodies only after the handlers of this stage.
    packed = request.headers.get("content-encoding") == "gzip"
    data = gzip.decompress(request.get_data()) if packed else request.get_data()
    body, status = call(request, target.removeprefix(JSON_TARGET), json.loads(data or "{}"))
    chain.respond(
        status,
        json.dumps(body, default=datetime.timestamp),
        headers={"content-type": "application/x-amz-json-1.0"},
    )


ROUTER.add("/service/GraniteServiceVersion20100801/operation/<operation>", serve_cbor, methods=["POST"])
preprocess_request.append(serve_json)
