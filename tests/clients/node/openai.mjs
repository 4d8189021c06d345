// The official Node client: plain, streamed, its helpers, and its errors.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { KEY, MODEL, SAID, URL, WRONG_KEY, raised, run } from "./checks.mjs";

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, maxRetries: 0 });
const chat = client.chat.completions;
const said = (content) => [{ role: "user", content }];
const Forecast = z.object({ sky: z.enum(["grey", "blue"]), degrees: z.number() });
const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "weather", parameters } }];

await run({
  models: async () => {
    const models = await client.models.list();
    assert.deepEqual(models.data.map((model) => model.id), [MODEL]);
  },
  plain: async () => {
    const completion = await chat.create({ model: MODEL, messages: said("hi") });
    assert.equal(completion.choices[0].message.content, SAID);
    assert.equal(completion.usage.total_tokens, 15);
  },
  streamed: async () => {
    let text = "";
    const body = { model: MODEL, messages: said("hi"), stream: true };
    for await (const chunk of await chat.create(body)) {
      text += chunk.choices[0].delta.content ?? "";
    }
    assert.equal(text, SAID);
  },
  "streaming helper, in every mode of steps": async () => {
    for (const mode of ["reasoning", "extension", "openwebui", "off"]) {
      const body = {
        model: MODEL,
        messages: said("read the skill"),
        stream_options: { include_usage: true },
      };
      const stream = chat.stream(body, { headers: { "x-retinue-steps": mode } });
      const completion = await stream.finalChatCompletion();
      assert.equal(completion.choices[0].message.content, "I read it.");
      assert.equal(completion.choices[0].message.tool_calls, undefined);
      assert.equal(completion.usage.total_tokens, 30);
    }
  },
  structured: async () => {
    const body = {
      model: MODEL,
      messages: said("forecast"),
      response_format: zodResponseFormat(Forecast, "forecast"),
    };
    const expected = { sky: "grey", degrees: 7 };
    assert.deepEqual((await chat.parse(body)).choices[0].message.parsed, expected);
    const streamed = await chat.stream(body).finalChatCompletion();
    assert.deepEqual(streamed.choices[0].message.parsed, expected);
  },
  "tools round trip": async () => {
    const plain = (body) => chat.create(body);
    const streamed = (body) => chat.stream(body).finalChatCompletion();
    for (const send of [plain, streamed]) {
      const messages = said("the weather?");
      const { choices } = await send({ model: MODEL, messages, tools });
      const [call] = choices[0].message.tool_calls;
      assert.equal(choices[0].finish_reason, "tool_calls");
      assert.deepEqual(JSON.parse(call.function.arguments), { city: "Bern" });
      messages.push(choices[0].message, { role: "tool", tool_call_id: call.id, content: "rain" });
      const final = await send({ model: MODEL, messages, tools });
      assert.equal(final.choices[0].message.content, "It says: rain");
    }
  },
  "tool runner": async () => {
    const weather = {
      type: "function",
      function: { name: "weather", parameters, parse: JSON.parse, function: () => "rain" },
    };
    const body = { model: MODEL, messages: said("the weather?"), tools: [weather] };
    assert.equal(await chat.runTools({ ...body, stream: true }).finalContent(), "It says: rain");
  },
  "several turns": async () => {
    const messages = [{ role: "developer", content: "Be kind." }, ...said("one")];
    const { choices } = await chat.create({ model: MODEL, messages });
    messages.push(choices[0].message, ...said("my first?"));
    const then = await chat.create({ model: MODEL, messages });
    assert.equal(then.choices[0].message.content, "You said: one");
  },
  errors: async () => {
    const unknown = await raised(() => chat.create({ model: "nobody", messages: said("hi") }));
    assert(unknown instanceof OpenAI.NotFoundError);
    const stranger = client.withOptions({ apiKey: WRONG_KEY });
    const denied = await raised(() => stranger.models.list());
    assert(denied instanceof OpenAI.AuthenticationError);
    for (const stream of [false, true]) {
      const busy = await raised(() => chat.create({ model: MODEL, messages: said("busy"), stream }));
      assert(busy instanceof OpenAI.RateLimitError);
    }
    const stream = chat.stream({ model: MODEL, messages: said("break") });
    assert((await raised(() => stream.finalChatCompletion())) instanceof OpenAI.OpenAIError);
  },
});
