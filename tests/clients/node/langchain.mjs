// LangChain's JavaScript client, over chat completions and the Responses API.

import assert from "node:assert/strict";
import { AIMessage, HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { z } from "zod";
import { KEY, MODEL, SAID, URL, WRONG_KEY, raised, run } from "./checks.mjs";

const Forecast = z.object({ sky: z.enum(["grey", "blue"]), degrees: z.number() });
const weather = tool(async ({ city }) => `rain in ${city}`, {
  name: "weather",
  description: "The weather in a city.",
  schema: z.object({ city: z.string() }),
});

const checks = {};
for (const [name, useResponsesApi] of [["chat", false], ["responses", true]]) {
  const client = (options = {}) =>
    new ChatOpenAI({
      model: MODEL,
      apiKey: KEY,
      maxRetries: 0,
      useResponsesApi,
      configuration: { baseURL: `${URL}/v1` },
      ...options,
    });
  const gathered = async (model, input) => {
    let whole;
    let pieces = 0;
    for await (const chunk of await model.stream(input)) {
      whole = whole ? whole.concat(chunk) : chunk;
      pieces += 1;
    }
    return { whole, pieces };
  };
  checks[`${name}: plain`] = async () => {
    const answer = await client().invoke("hi");
    assert.equal(answer.text, SAID);
    assert.equal(answer.usage_metadata.total_tokens, 15);
  };
  checks[`${name}: streamed`] = async () => {
    const { whole, pieces } = await gathered(client(), "hi");
    assert.equal(whole.text, SAID);
    assert(pieces >= 3);
    assert.equal(whole.usage_metadata.total_tokens, 15);
  };
  checks[`${name}: own tools run inside, in every mode of steps`] = async () => {
    for (const mode of ["reasoning", "extension", "openwebui", "off"]) {
      // Over the Responses API this mode shows calls as if they were the client's.
      if (useResponsesApi && mode === "openwebui") continue;
      const configuration = { baseURL: `${URL}/v1`, defaultHeaders: { "x-retinue-steps": mode } };
      const model = client({ configuration });
      const { whole } = await gathered(model, "read the skill");
      assert.equal(whole.text, "I read it.");
      assert.deepEqual(whole.tool_calls, []);
      assert.deepEqual((await model.invoke("read the skill")).tool_calls, []);
    }
  };
  checks[`${name}: several turns`] = async () => {
    const answer = await client().invoke([
      new SystemMessage("Be brief."),
      new HumanMessage("hello"),
      new AIMessage(SAID),
      new HumanMessage("what came first?"),
    ]);
    assert.equal(answer.text, "You said: hello");
  };
  checks[`${name}: an answer goes back as it came`] = async () => {
    const first = new HumanMessage("read the skill");
    const answer = await client().invoke([first]);
    const again = await client().invoke([first, answer, new HumanMessage("what came first?")]);
    assert.equal(again.text, "You said: read the skill");
  };
  checks[`${name}: tools are run by the client`] = async () => {
    const model = client().bindTools([weather]);
    const asked = new HumanMessage("the weather?");
    for (const answer of [await model.invoke([asked]), (await gathered(model, [asked])).whole]) {
      const [call] = answer.tool_calls;
      assert.deepEqual([call.name, call.args], ["weather", { city: "Bern" }]);
      const told = await weather.invoke(call);
      assert(told instanceof ToolMessage);
      const last = await model.invoke([asked, answer, told]);
      assert.equal(last.text, "It says: rain in Bern");
    }
  };
  checks[`${name}: structured`] = async () => {
    for (const method of ["jsonSchema", "functionCalling"]) {
      const model = client().withStructuredOutput(Forecast, { method });
      assert.deepEqual(await model.invoke("forecast"), { sky: "grey", degrees: 7 });
    }
  };
  checks[`${name}: errors`] = async () => {
    const status = async (model, said = "hi") => (await raised(() => model.invoke(said))).status;
    assert.equal(await status(client(), "busy"), 429);
    assert.equal(await status(client({ model: "nobody" })), 404);
    assert.equal(await status(client({ apiKey: WRONG_KEY })), 401);
    assert.equal(await status(client({ temperature: 9 })), 400);
    await raised(() => gathered(client(), "break"));
  };
}
await run(checks);
