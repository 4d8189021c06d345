// The official Node client over the Responses API: plain, streamed, its helpers, and its errors.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { KEY, MODEL, SAID, URL, WRONG_KEY, raised, run } from "./checks.mjs";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, maxRetries: 0 });
const responses = client.responses;
const ask = (input, more = {}) => responses.create({ model: MODEL, input, ...more });
const helped = (input, more = {}) =>
  responses.stream({ model: MODEL, input, ...more }).finalResponse();
const Forecast = z.object({ sky: z.enum(["grey", "blue"]), degrees: z.number() });
const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", name: "weather", parameters, strict: false }];

await run({
  plain: async () => {
    const response = await ask("hi");
    assert.equal(response.output_text, SAID);
    assert.equal(response.usage.total_tokens, 15);
  },
  streamed: async () => {
    let text = "";
    for await (const event of await ask("hi", { stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(text, SAID);
  },
  "streaming helper, and the agent's own tools": async () => {
    for (const mode of ["reasoning", "extension", "openwebui", "off"]) {
      const headers = { "x-retinue-steps": mode };
      const stream = responses.stream({ model: MODEL, input: "read the skill" }, { headers });
      assert.equal((await stream.finalResponse()).output_text, "I read it.");
    }
    const { output } = await helped("read the skill");
    assert(output.some((item) => item.type === "mcp_call" && item.name === "load_skill"));
  },
  structured: async () => {
    const text = { format: zodTextFormat(Forecast, "forecast") };
    const expected = { sky: "grey", degrees: 7 };
    const parsed = await responses.parse({ model: MODEL, input: "forecast", text });
    assert.deepEqual(parsed.output_parsed, expected);
    assert.deepEqual((await helped("forecast", { text })).output_parsed, expected);
  },
  "tools round trip": async () => {
    for (const send of [ask, helped]) {
      const said = [{ role: "user", content: "the weather?" }];
      const asked = await send(said, { tools });
      const call = asked.output.find((item) => item.type === "function_call");
      assert.deepEqual(JSON.parse(call.arguments), { city: "Bern" });
      const result = { type: "function_call_output", call_id: call.call_id, output: "rain" };
      const final = await send([...said, ...asked.output, result], { tools });
      assert.equal(final.output_text, "It says: rain");
    }
  },
  errors: async () => {
    const unknown = await raised(() => responses.create({ model: "nobody", input: "hi" }));
    assert(unknown instanceof OpenAI.NotFoundError);
    const stranger = client.withOptions({ apiKey: WRONG_KEY });
    const denied = await raised(() => stranger.responses.create({ model: MODEL, input: "hi" }));
    assert(denied instanceof OpenAI.AuthenticationError);
    for (const stream of [false, true]) {
      assert((await raised(() => ask("busy", { stream }))) instanceof OpenAI.RateLimitError);
    }
    const kept = await raised(() => ask("hi", { previous_response_id: "resp_1" }));
    assert.equal(kept.param, "previous_response_id");
    assert((await raised(() => helped("break"))) instanceof OpenAI.OpenAIError);
  },
});
