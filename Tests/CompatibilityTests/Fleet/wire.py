"""The three wire versions over HTTP/1.1 in JSON, from the specification alone."""
import dataclasses
import http.client
import json
import math
import os.path
import re
import select

from history import READ, REFUSED, RELEASE, UNANSWERED, UNAVAILABLE, json_object

NEWEST = 3
NOBODY = {"resource-not-found", "not-held"}


@dataclasses.dataclass
class Intent:
    """What a client wants, in the newest version's terms. What an older one cannot say is left out; what it
    has to say is said, even if the client need not."""
    role: str
    keys: list  # One; a read may have several, which is a list.
    kind: str = "lock"
    owner: str = ""
    token: int = None  # Names the grant in place of the owner, where the wire can.
    lease: float = None
    names_lease: bool = True
    content: dict = None  # {"text": …} or {"attributes": …}: as it is to be, or is already.
    names_content: bool = True
    labels: dict = dataclasses.field(default_factory=dict)
    granted_at: str = None
    wait: float = 0


@dataclasses.dataclass
class Request:
    call: str
    body: dict
    lease: float = None
    writes: dict = dataclasses.field(default_factory=dict)

    @property
    def named(self):
        """The token of the grant that it is about, where it names one."""
        return int(self.body["token"]) if "token" in self.body else None


def compose(wire, intent):
    if intent.role == READ:
        return compose_read(wire, intent)
    return compose_in_v1(intent) if wire == 1 else compose_since_v2(wire, intent)


def compose_in_v1(intent):
    resource = {"key": intent.keys[0], "owner": intent.owner}
    if intent.role == RELEASE:
        return Request("Release", {"resource": resource})
    text, lease = as_text(intent.content), math.ceil(intent.lease)
    resource |= {"value": text} | kind_of(1, intent.kind)
    return Request("Lock", {"resource": resource, "ttlInSeconds": lease}, lease, {"content": {"text": text}})


def compose_since_v2(wire, intent):
    name = {"token": str(intent.token)} if intent.token else {"owner": intent.owner}
    body = {"key": intent.keys[0]} | name
    if intent.role == RELEASE:
        return Request("Release", body)
    # An Acquire of v2 without a value would empty it.
    if intent.names_content or wire == 2 and not intent.token:
        body |= content_of(wire, intent.content)
    if intent.names_lease or not intent.token:
        body["lease"] = duration(intent.lease)
    if wire >= 3 and intent.labels:
        body["labels"] = intent.labels
    if not intent.token:
        body |= kind_of(wire, intent.kind)
        body |= {"wait": duration(intent.wait), "requestId": intent.owner} if intent.wait else {}
        body |= {"grantedAt": intent.granted_at} if wire >= 3 and intent.granted_at else {}
    call, lease = "Renew" if intent.token else "Acquire", intent.lease if "lease" in body else None
    return Request(call, body, lease, written(body))


def compose_read(wire, intent):
    if len(intent.keys) == 1:
        return Request("Fetch" if wire == 1 else "Get", {"key": intent.keys[0]})
    if wire == 1:
        return Request("FetchAll", kind_of(wire, intent.kind))
    return Request("List", kind_of(wire, intent.kind) | {"keyPrefix": os.path.commonprefix(intent.keys)})


def kind_of(wire, kind):
    return {"type": kind} if wire == 1 else {"kind": f"KIND_{kind.upper()}"}


def duration(seconds):
    return f"{seconds:.3f}s"


def as_text(content):
    return content["text"] if "text" in content else json.dumps(content["attributes"])


def content_of(wire, content):
    return {"value": as_text(content)} if wire == 2 or "text" in content else content


def written(body):
    """The fields that a request of v2 or v3 writes, as in history.Operation."""
    # A label with an empty text is taken off.
    writes = {f"label:{name}": text or None for name, text in body.get("labels", {}).items()}
    if "grantedAt" in body:
        writes["granted_at"] = body["grantedAt"]
    if "value" in body:
        writes["content"] = {"text": body["value"]}
    elif "attributes" in body:
        writes["content"] = {"attributes": body["attributes"]}
    return writes


@dataclasses.dataclass
class Answer:
    status: int
    newest_wire: int
    body: dict

    @property
    def code(self):
        return "" if self.status == 200 else self.body.get("code", "no Connect error")

    @property
    def word(self):
        """That of a refusal, else the code."""
        first = self.body.get("message", "").split(":")[0]
        return first if re.fullmatch("[a-z]+(-[a-z]+)+", first) else self.code


def take(operation, answer):
    """Notes what an answer, or None, says about an operation."""
    # A deadline_exceeded may or may not be done, and does not say when.
    if answer is None or answer.code == "deadline_exceeded":
        operation.outcome = UNANSWERED
    elif answer.code == "unavailable":
        operation.outcome = UNAVAILABLE
    elif answer.code and not (operation.role == READ and answer.word in NOBODY):
        operation.outcome, operation.word = REFUSED, answer.word
    elif operation.role == READ:
        listed = answer.body.get("resources", [answer.body.get("resource")])
        for resource in [resource for resource in listed if resource and resource["key"] == operation.key]:
            operation.found = found_in(operation.wire, resource)
            take_numbers(operation, resource)
    elif grant := answer.body.get("grant"):
        operation.granted = float(grant["lease"].removesuffix("s"))
        operation.is_new_grant = operation.call == "Acquire" and not answer.body.get("renewed", False)
        take_numbers(operation, grant)


def take_numbers(operation, message):
    """Token and revision; v1 shows neither."""
    if "token" in message:
        operation.token, operation.revision = int(message["token"]), int(message["revision"])


def found_in(wire, resource):
    found = {"owner": resource["owner"], "content": {"text": resource.get("value", "")}}
    if wire >= 3:
        found["content"]["attributes"] = resource.get("attributes")
        found |= {f"label:{name}": text for name, text in resource.get("labels", {}).items()}
        found |= {"granted_at": resource["grantedAt"]} if "grantedAt" in resource else {}
    return found


def has_ended(connection):
    """Whether the server has ended it: it said so in its last answer, or there is something to be read that
    is no answer."""
    return connection.sock is None or select.select([connection.sock], [], [], 0)[0]


class Unsent(Exception):
    """Nothing of the request can have reached a server."""


class Connections:
    """A client's keep-alive connections, one for each place of a server."""

    def __init__(self, timeout):
        self.timeout, self.kept = timeout, {}

    def post(self, server, wire, request):
        """The answer, or None where none came."""
        connection = self.connection(server)
        try:
            connection.request("POST", f"/latchkey.v{wire}.Locks/{request.call}",
                               json.dumps(request.body).encode(), {"content-type": "application/json"})
            response = connection.getresponse()
            newest_wire = int(response.getheader("latchkey-wire").split("-")[1])
            return Answer(response.status, newest_wire, json_object(response.read()))
        except (OSError, http.client.HTTPException):
            self.drop(server)
            return None

    def connection(self, server):
        address, connection = self.kept.get(server.slot, (None, None))
        if connection and (address != server.address or has_ended(connection)):
            self.drop(server)
        if server.slot not in self.kept:
            connection = http.client.HTTPConnection(server.address, timeout=self.timeout)
            try:
                connection.connect()
            except OSError as error:
                raise Unsent from error
            self.kept[server.slot] = server.address, connection
        return connection

    def drop(self, server):
        self.kept.pop(server.slot)[1].close()

    def close(self):
        for _, connection in self.kept.values():
            connection.close()
