"""A `Deployment` that speaks OpenAI's wire → a `Model`."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from retinue.errors import MissingReferenceError, ModelError
from retinue.route import Deployment
from retinue.run.events import ModelEvent
from retinue.run.models.direct.address import AddressBook
from retinue.run.models.direct.answered import answered
from retinue.run.models.direct.body import body_of, encode, left_out
from retinue.run.models.left_out import LeftOut
from retinue.run.ports import Lookup, ModelRequest

if TYPE_CHECKING:
    from retinue.run.models.direct.exchange import Exchange
    from retinue.run.models.direct.pool import Pool


class DirectModel:
    """One deployment. What its address and key refer to is looked up at each call."""

    def __init__(self, deployment: Deployment, lookup: Lookup) -> None:
        self._deployment = deployment
        self._addresses = AddressBook(deployment, lookup)
        self._left_out = LeftOut(deployment.model)
        self._pool: Pool | None = None

    async def warm(self) -> None:
        """Open the pool of connections. Idempotent."""
        _ = self._here().session

    def _here(self) -> "Pool":
        # Not at the top: only routes that need the client should pay for its import.
        from retinue.run.models.direct.pool import Pool  # noqa: PLC0415

        pool = Pool.here()
        if self._pool is not pool:
            self._pool = pool
            pool.hold()
        return pool

    async def aclose(self) -> None:
        """Give up the pool of connections. Idempotent."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await pool.release()

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """As `retinue.run.ports.Model.stream`. Text that came in together is one delta."""
        return answered(self._ask, request, self._deployment.model)

    async def _ask(self, request: ModelRequest) -> "Exchange":
        from retinue.run.models.direct.exchange import post  # noqa: PLC0415 - as above

        model = self._deployment.model
        try:
            address = await self._addresses.find(request)
        except MissingReferenceError as missing:
            raise ModelError("auth", f"the model '{model}' can't be reached: {missing}") from None
        body = body_of(self._deployment, request)
        if lost := left_out(self._deployment, request, body):
            self._left_out.note(lost, request.optional)
        return await post(self._here(), model, address, encode(body))
