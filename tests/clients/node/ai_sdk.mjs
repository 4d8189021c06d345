// Vercel's AI SDK: its provider for OpenAI, over both APIs, and the one for compatible servers.

import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { KEY, MODEL, SAID, URL, WRONG_KEY, raised, run } from "./checks.mjs";

const baseURL = `${URL}/v1`;
const compatible = createOpenAICompatible({
  name: "retinue",
  baseURL,
  apiKey: KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const providers = {
  openai: createOpenAI({ baseURL, apiKey: KEY }).chat,
  compatible: (id) => compatible(id),
  responses: createOpenAI({ baseURL, apiKey: KEY }).responses,
};
const Forecast = z.object({ sky: z.enum(["grey", "blue"]), degrees: z.number() });
const weather = () =>
  tool({
    description: "The weather in a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => `rain in ${city}`,
  });

const checks = {};
for (const [name, model] of Object.entries(providers)) {
  // It sends ids in place of items unless it is told that nothing is stored.
  const providerOptions = { openai: { store: false } };
  const options = (prompt, id = MODEL) => ({
    model: model(id),
    prompt,
    maxRetries: 0,
    providerOptions,
  });
  const streamed = async (given) => {
    const parts = [];
    for await (const part of streamText({ ...given, onError: () => {} }).fullStream) {
      parts.push(part);
    }
    const failed = parts.find((part) => part.type === "error");
    if (failed) throw failed.error;
    const text = parts.filter((part) => part.type === "text-delta").map((part) => part.text);
    return { text: text.join(""), kinds: new Set(parts.map((part) => part.type)) };
  };
  checks[`${name}: plain`] = async () => {
    const answer = await generateText(options("hi"));
    assert.equal(answer.text, SAID);
    assert.equal(answer.usage.totalTokens, 15);
  };
  checks[`${name}: streamed, in every mode of steps`] = async () => {
    for (const mode of ["reasoning", "extension", "openwebui", "off"]) {
      const headers = { "x-retinue-steps": mode };
      const { text, kinds } = await streamed({ ...options("read the skill"), headers });
      assert.equal(text, "I read it.");
      // Over the Responses API the agent's own calls are shown, as run by the provider.
      assert(name === "responses" || !kinds.has("tool-call"));
    }
  };
  checks[`${name}: tools are run by the client`] = async () => {
    const given = {
      ...options("the weather?"),
      tools: { weather: weather() },
      stopWhen: isStepCount(3),
    };
    assert.equal((await generateText(given)).text, "It says: rain in Bern");
    assert.equal((await streamed(given)).text, "It says: rain in Bern");
  };
  checks[`${name}: structured`] = async () => {
    const given = { ...options("forecast"), output: Output.object({ schema: Forecast }) };
    assert.deepEqual((await generateText(given)).output, { sky: "grey", degrees: 7 });
  };
  checks[`${name}: errors`] = async () => {
    assert.equal((await raised(() => generateText(options("hi", "nobody")))).statusCode, 404);
    assert.equal((await raised(() => generateText(options("busy")))).statusCode, 429);
    await raised(() => streamed(options("break")));
  };
}
checks["a wrong key"] = async () => {
  const model = createOpenAI({ baseURL, apiKey: WRONG_KEY }).chat(MODEL);
  const denied = await raised(() => generateText({ model, prompt: "hi", maxRetries: 0 }));
  assert.equal(denied.statusCode, 401);
};
await run(checks);
