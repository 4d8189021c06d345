"""Open WebUI itself, as its page uses it: chats over a socket, and what it keeps of them.

Its server runs without a page, on loopback, with a folder of its own. Over chat completions and
over the Responses API, in every way of showing an agent's steps.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import socketio
from checks import KEY, MODEL, SAID, URL, WRONG_KEY, run

SETTINGS = {
    "ANONYMIZED_TELEMETRY": "false",
    "ENABLE_OLLAMA_API": "false",
    "ENABLE_PERSISTENT_CONFIG": "false",
    "HF_HUB_OFFLINE": "1",
    "OFFLINE_MODE": "true",
    "RAG_EMBEDDING_ENGINE": "openai",
    "SCARF_NO_ANALYTICS": "true",
    "WEBUI_SECRET_KEY": "of-the-tests",
}
ACCOUNT = {"name": "Ann", "email": "ann@example.com", "password": "Long-enough-1"}
START = 150
"""Seconds until it answers: it imports a lot."""
ANSWER = 20


@contextmanager
def open_webui():
    """Its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).parent / "open-webui"), "serve"]
        env = {**os.environ, **SETTINGS, "DATA_DIR": folder, "CORS_ALLOW_ORIGIN": url}
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(port)],
                cwd=folder,
                env=env,
                stdout=log,
                stderr=log,
            )
        try:
            started(server, url, Path(folder) / "log")
            yield url
        finally:
            server.kill()
            server.wait()


def started(server, url, log):
    for _ in range(START):
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if server.poll() is not None:
            break
        time.sleep(1)
    raise AssertionError(f"Open WebUI did not start:\n{log.read_text()[-3000:]}")


class Page:
    """What a browser does: a login, a socket, and chats."""

    def __init__(self, http, events):
        self.http = http
        self.sid = ""
        self.events = events

    async def configure(self, *, api="", headers=None, key=KEY):
        """How the agent is reached; the models that are shown then."""
        connection = {"enable": True, "api_type": api, "headers": headers or {}}
        config = {
            "ENABLE_OPENAI_API": True,
            "OPENAI_API_BASE_URLS": [f"{URL}/v1"],
            "OPENAI_API_KEYS": [key],
            "OPENAI_API_CONFIGS": {"0": connection},
        }
        (await self.http.post("/openai/config/update", json=config)).raise_for_status()
        listed = await self.http.get("/api/models", params={"refresh": True})
        return [model["id"] for model in listed.raise_for_status().json()["data"]]

    async def ask(self, said, before=None):
        """The answer as it is kept; `before` is one to go on from, in the same chat."""
        history = before.history if before else {"messages": {}}
        question, answer = str(uuid.uuid4()), str(uuid.uuid4())
        asked = {"id": question, "parentId": history.get("currentId"), "childrenIds": [answer]}
        asked |= {"role": "user", "content": said, "models": [MODEL], "timestamp": 1}
        empty = {"id": answer, "parentId": question, "childrenIds": [], "role": "assistant"}
        empty |= {"content": "", "model": MODEL, "timestamp": 1}
        messages = {**history["messages"], question: asked, answer: empty}
        chat = {"title": "A chat", "models": [MODEL]}
        chat["history"] = {"messages": messages, "currentId": answer}
        place = before.chat_id if before else "new"
        new = await self.http.post(f"/api/v1/chats/{place}", json={"chat": chat})
        chat_id = new.raise_for_status().json()["id"]
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": said}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "session_id": self.sid,
            "chat_id": chat_id,
            "id": answer,
            "parent_id": question,
            "user_message": asked,
            "background_tasks": {},
        }
        self.events.clear()
        (await self.http.post("/api/chat/completions", json=body)).raise_for_status()
        async with asyncio.timeout(ANSWER):
            while True:
                told = await self.http.get(f"/api/v1/chats/{chat_id}")
                kept = told.raise_for_status().json()["chat"]["history"]
                if kept["messages"][answer].get("done"):
                    return Answer(kept["messages"][answer], chat_id, kept)
                await asyncio.sleep(0.1)


@dataclass
class Answer:
    """A message as the page has it, and the chat that it stands in."""

    message: dict
    chat_id: str
    history: dict

    @property
    def thought(self):
        parts = [item for item in self.message["output"] if item["type"] == "reasoning"]
        texts = (part["text"] for item in parts for part in item.get("content") or item["summary"])
        return "".join(texts)

    def __getitem__(self, key):
        return self.message.get(key)


@asynccontextmanager
async def page(url):
    events = []
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        login = await http.post("/api/v1/auths/signin", json=ACCOUNT)
        if login.status_code != 200:
            login = await http.post("/api/v1/auths/signup", json=ACCOUNT)
        token = login.raise_for_status().json()["token"]
        http.headers["authorization"] = f"Bearer {token}"
        client = socketio.AsyncClient()
        client.on("*", lambda _name, *told: events.extend(told))
        auth = {"token": token}
        path = "/ws/socket.io"
        await client.connect(url, socketio_path=path, auth=auth, transports=["websocket"])
        await client.call("user-join", {"auth": auth})
        one = Page(http, events)
        one.sid = client.get_sid()
        try:
            yield one
        finally:
            await client.disconnect()


async def check_a_chat():
    async with page(WEBUI) as shown:
        assert await shown.configure() == [MODEL]
        answer = await shown.ask("hi")
        assert answer["content"] == SAID
        assert answer.thought == "Hm. "
        assert answer["usage"]["total_tokens"] == 15
        again = await shown.ask("what came first?", answer)
        assert again["content"] == "You said: hi"


async def check_steps_are_shown_and_never_run_again():
    async with page(WEBUI) as shown:
        for steps in ("reasoning", "extension", "openwebui", "off"):
            await shown.configure(headers={"x-retinue-steps": steps})
            answer = await shown.ask("read the skill")
            assert answer["content"] == "I read it.", steps
            assert not answer["error"]
            assert ("Calling load_skill" in answer.thought) is (steps == "reasoning")
            told = [told["description"] for told in answer["statusHistory"] or ()]
            calls = ["Calling load_skill: name=figures", "load_skill answered."]
            assert told == (calls if steps == "openwebui" else [])
            # A socket tells the page as it happens.
            assert ('"type": "status"' in json.dumps(shown.events)) is (steps == "openwebui")


async def check_a_failure_is_shown():
    async with page(WEBUI) as shown:
        for api in ("", "responses"):
            await shown.configure(api=api)
            assert "It is busy." in str((await shown.ask("busy"))["error"])
            broken = await shown.ask("break")
            assert broken["content"] == SAID
            assert "broke off" in str(broken["error"])


async def check_the_responses_api():
    async with page(WEBUI) as shown:
        kinds = {"reasoning": ["mcp_call"], "off": []}
        kinds["openwebui"] = ["function_call", "function_call_output"]
        for steps, calls in kinds.items():
            await shown.configure(api="responses", headers={"x-retinue-steps": steps})
            answer = await shown.ask("read the skill")
            assert answer["content"] == "I read it."
            told = [item["type"] for item in answer["output"]]
            assert [kind for kind in told if kind not in ("reasoning", "message")] == calls
            # What was kept is sent with the next question.
            again = await shown.ask("what came first?", answer)
            assert again["content"] == "You said: read the skill"


async def check_a_wrong_key():
    async with page(WEBUI) as shown:
        assert await shown.configure(key=WRONG_KEY) == []


with open_webui() as WEBUI:
    run(globals())
