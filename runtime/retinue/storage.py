"""Where what a server remembers is kept, and for how long, as compiled."""

from dataclasses import dataclass

from retinue.values import Text

STORE_ENDPOINT = "RETINUE_STORE_ENDPOINT"
"""The variable of an app's environment with the endpoint of the Lakebase that the bundle made."""

STORE_DATABASE = "retinue"
"""What the bundle calls the database in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lakebase:
    """A Lakebase database. `name` is an instance's, or the path of an autoscaling endpoint:
    `projects/P/branches/B/endpoints/E`.

    Of a `project` that the bundle makes, `name` refers to the variable of the environment that an
    app finds the endpoint in. The project's id is that and the target's suffix; a bundle variable
    in it stays as written.
    """

    name: Text
    database: Text = "databricks_postgres"
    project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Whether the store has a log of `requests`, with their `messages`."""

    requests: bool = True
    messages: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """For how many seconds things are kept, None for ever: responses, files and the log's rows
    after they were made, conversations after they were last used.
    """

    responses: float | None = 30 * 86_400.0
    conversations: float | None = None
    files: float | None = None
    logs: float | None = 30 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where state is kept: at a URL that starts with sqlite: or postgresql:, or in Lakebase.

    The URL `off` is nowhere, and neither of both is the usual place. `files` is a folder, or a
    volume's path, for the bytes of files.
    """

    url: Text | None = None
    lakebase: Lakebase | None = None
    files: Text | None = None
    log: Log = Log()
    keep: Keep = Keep()
