"""Databricks' own client at an app's root, and `/invocations` as MLflow's classes read it."""

import json
from types import SimpleNamespace

import httpx
from checks import KEY, MODEL, SAID, URL, raises, run
from databricks_openai import DatabricksOpenAI
from mlflow.types.agent import ChatAgentChunk, ChatAgentResponse
from mlflow.types.responses import ResponsesAgentResponse, ResponsesAgentStreamEvent

APP = "apps/tester"
http = httpx.Client(base_url=URL, headers={"authorization": f"Bearer {KEY}"}, trust_env=False)


def workspace():
    """As much of a WorkspaceClient as the client asks: a token, and where the app is."""
    config = SimpleNamespace(
        host=URL,
        authenticate=lambda: {"Authorization": f"Bearer {KEY}"},
        oauth_token=lambda: SimpleNamespace(access_token=KEY),
    )
    apps = SimpleNamespace(get=lambda name: SimpleNamespace(url=URL, name=name))
    return SimpleNamespace(config=config, apps=apps)


client = DatabricksOpenAI(workspace_client=workspace(), base_url=URL)


def invoked(given, **more):
    return http.post("/invocations", json={"input": given, **more}).raise_for_status().json()


def frames(**body):
    """The objects of a streamed invocation; each frame is data alone."""
    answer = http.post("/invocations", json={**body, "stream": True}).raise_for_status()
    events = answer.text.split("\n\n")
    assert events.pop() == ""
    assert events.pop() == "data: [DONE]"
    assert all(event.startswith("data: {") for event in events)
    return [json.loads(event.removeprefix("data: ")) for event in events]


def check_an_app_by_its_name():
    assert client.responses.create(model=APP, input="hi").output_text == SAID
    stream = client.responses.create(model=APP, input="hi", stream=True)
    pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(pieces) == SAID
    # The client wraps what goes wrong in a class of its own.
    raises(ValueError, lambda: client.responses.create(model=APP, input="busy"))


def check_the_root_as_base_url():
    assert client.responses.create(input="hi").output_text == SAID
    said = [{"role": "user", "content": "hi"}]
    for model in (MODEL, APP):
        answer = client.chat.completions.create(model=model, messages=said)
        assert answer.choices[0].message.content == SAID
        chunks = client.chat.completions.create(model=model, messages=said, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID


def check_mlflow_reads_the_answer():
    for given in ("read the skill", [{"role": "user", "content": "read the skill"}]):
        answer = ResponsesAgentResponse.model_validate(
            invoked(given, context={"conversation_id": "c", "user_id": "u"}, model="chat-model")
        )
        kinds = [item.type for item in answer.output if item.type != "reasoning"]
        assert kinds == ["function_call", "function_call_output", "message"]


def check_mlflow_reads_the_stream():
    said = [{"role": "user", "content": "read the skill"}]
    events = frames(input=said, databricks_options={"return_trace": True})
    for event in events:
        ResponsesAgentStreamEvent.model_validate(event)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    pieces = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert "".join(pieces) == done[-1]["content"][0]["text"] == "I read it."
    assert {event["item_id"] for event in events if "item_id" in event} == {done[-1]["id"]}


def check_a_failure_amid_a_stream_is_told():
    *_, last = frames(input=[{"role": "user", "content": "break"}])
    assert last["type"] == "error"
    assert last["error"]["message"]


def check_mlflow_reads_chat():
    said = [{"role": "user", "content": "read the skill", "id": "m1"}]
    body = {"messages": said, "context": None, "custom_inputs": None}
    answer = ChatAgentResponse(**http.post("/invocations", json=body).json())
    assert answer.messages[-1].content == "I read it."
    chunks = [ChatAgentChunk(**frame) for frame in frames(messages=said)]
    assert "".join(chunk.delta.content for chunk in chunks) == "I read it."


run(globals())
