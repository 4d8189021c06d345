"""Every exception Retinue raises on purpose; anything else that escapes is a bug.

RetinueError
├── ProjectError          the folder isn't a project, or a path leaves it
├── CompileError          agent files with mistakes (retinue.diagnostics, carries diagnostics)
├── UsageError            what the caller named (an agent) does not exist
├── ConfigurationError    what the command or the environment sets can't be meant
│   ├── AccessError       callers can't be told apart (retinue.serve.keys)
│   ├── QuotaError        a limit for callers can't be read (retinue.quotas)
│   └── CountersError     what is said of Redis can't be read (retinue.serve.counters)
├── NotSupportedError     an agent asks for what this version can't do yet
├── PromptError           a prompt can't be rendered with the values it got
├── MissingReferenceError an environment variable or secret is missing when it is used
├── RequestError          the caller's request is wrong; names the parameter
├── ModelError            the model's side failed; `kind` says how
├── ToolError             a tool failed; the text goes to the model, and the run goes on
├── NotReadyError         an agent can't run now: a tool server it requires is down
├── RunError              the run itself had to stop (deadline)
├── StoreError            the store can't be used as it is set up, until somebody changes that
├── StoreDownError        the store can't be reached now, and may be later
├── RefusedError          a busy server takes the request on no more (retinue.serve.wire.errors)
├── LinkError             a tool server is lost (retinue.run.mcp, becomes a ToolError there)
├── BundleError           an agent compiles and can't be deployed (retinue.bundle.plan)
└── ServeError            the server can't listen or start (retinue.serve.server)
"""

from typing import Literal

ModelFault = Literal[
    "auth",
    "bad_output",
    "bad_request",
    "content_filter",
    "context_window",
    "not_found",
    "not_supported",
    "rate_limit",
    "timeout",
    "truncated",
    "unavailable",
]


class RetinueError(Exception):
    """Root of the tree; `str(error)` is one sentence that may be shown to a user."""


class ProjectError(RetinueError):
    """The folder isn't a Retinue project, or a path in it leads outside."""


class UsageError(RetinueError):
    """The command or call names something that isn't there; the message names the nearest."""


class ConfigurationError(RetinueError):
    """What an option, or a variable of the environment, sets or lacks: nothing starts with it."""


class NotSupportedError(RetinueError):
    """An agent's files ask for what this version can't do yet; the message says where."""


class PromptError(RetinueError):
    """A prompt can't be rendered: a value is missing, or the text outgrows its limits."""


class MissingReferenceError(RetinueError):
    """A `${env.X}` or `${secret.scope/key}` has no value at the moment it is used."""


class RequestError(RetinueError):
    """The caller's request can't be served as it stands.

    `status` is the HTTP status; `param` the request field in OpenAI's notation
    (`messages[1].role`); `code` OpenAI's error code, where one exists.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


class ModelError(RetinueError):
    """The model's side failed. The message is ours: provider text is never passed on.

    `retry_after` is in seconds, where the provider named it. A `permanent` failure is the same
    however often it is tried: a quota that is used up, say, is no passing rate limit.
    """

    def __init__(
        self,
        kind: ModelFault,
        message: str,
        *,
        retry_after: float | None = None,
        permanent: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind: ModelFault = kind
        self.retry_after = retry_after
        self.permanent = permanent


class ToolError(RetinueError):
    """A tool call failed; the message is written for the model, which may try otherwise."""


class NotReadyError(RetinueError):
    """The agent can't run now, and may later: a tool server that it requires is down."""


class RunError(RetinueError):
    """The run had to stop before it had an answer, for example at its deadline."""


class StoreError(RetinueError):
    """The store can't be used as it is set up: its URL, its driver, or a schema from the future."""


class StoreDownError(RetinueError):
    """The store doesn't answer now; `retry_after` is when it is tried again, in seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
