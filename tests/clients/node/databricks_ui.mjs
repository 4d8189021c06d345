// Databricks' provider for the AI SDK, as their chat template uses it: every kind of model that it
// has, with the tools run by the agent, and messages that come back as the UI has them.

import assert from "node:assert/strict";
import { createDatabricksProvider } from "@databricks/ai-sdk-provider";
import {
  Output,
  convertToModelMessages,
  extractReasoningMiddleware,
  generateText,
  readUIMessageStream,
  stepCountIs,
  streamText,
  tool,
  wrapLanguageModel,
} from "ai";
import { z } from "zod";
import { KEY, SAID, URL, WRONG_KEY, raised, run } from "./checks.mjs";

const Forecast = z.object({ sky: z.enum(["grey", "blue"]), degrees: z.number() });
const TOLD = "I read it.";

// The template asks an app's /invocations for everything, under a model's name of its own.
function provider({ key = KEY, ...settings } = {}) {
  const fetchInContext = async (url, init) => {
    const context = { conversation_id: "c-1", user_id: "u-1" };
    const body = JSON.stringify({ ...JSON.parse(init.body), context });
    const headers = new Headers(init.headers);
    headers.set("authorization", `Bearer ${key}`);
    headers.set("x-mlflow-return-trace-id", "true");
    return fetch(url, { ...init, headers, body });
  };
  return createDatabricksProvider({
    useRemoteToolCalling: true,
    baseURL: URL,
    formatUrl: () => `${URL}/invocations`,
    fetch: fetchInContext,
    ...settings,
  });
}

const wrapped = (model) =>
  wrapLanguageModel({ model, middleware: [extractReasoningMiddleware({ tagName: "think" })] });
const template = wrapped(provider().responses("chat-model"));
const direct = provider({ formatUrl: ({ baseUrl, path }) => `${baseUrl}${path}` });
const clientsOwn = provider({ useRemoteToolCalling: false });
const weather = tool({
  description: "The weather in a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `rain in ${city}`,
});
const ask = (model, prompt, more = {}) => ({ model, prompt, maxRetries: 0, ...more });

async function streamed(given) {
  const parts = [];
  for await (const part of streamText({ ...given, onError: () => {} }).fullStream) parts.push(part);
  const failed = parts.find((part) => part.type === "error");
  if (failed) throw failed.error;
  return parts;
}
const text = (parts, type = "text-delta") =>
  parts.filter((part) => part.type === type).map((part) => part.text).join("");
const ofType = (parts, type) => parts.filter((part) => part.type === type);

// A turn as the template's page has it: what was streamed becomes a message of the UI's.
async function turn(messages) {
  const result = streamText({
    model: template,
    messages: await convertToModelMessages(messages),
    maxRetries: 0,
  });
  let answer;
  for await (const message of readUIMessageStream({ stream: result.toUIMessageStream() })) {
    answer = message;
  }
  return answer;
}
const fromUser = (said) => ({ id: said, role: "user", parts: [{ type: "text", text: said }] });

const checks = {
  "responses: plain": async () => {
    const answer = await generateText(ask(template, "hi"));
    assert.equal(answer.text, SAID);
    assert.equal(answer.reasoningText, "Hm. ");
    assert.equal(answer.usage.inputTokens, 10);
  },
  "responses: streamed, each word once": async () => {
    const parts = await streamed(ask(template, "hi"));
    assert.equal(text(parts), SAID);
    assert.equal(ofType(parts, "text-start").length, 1);
    assert.equal(text(parts, "reasoning-delta"), "Hm. ");
    assert.equal(parts.at(-1).finishReason, "stop");
  },
  "responses: the agent's own calls are shown with what came back": async () => {
    const parts = await streamed(ask(template, "read the skill"));
    assert.equal(text(parts), TOLD);
    const [call] = ofType(parts, "tool-call");
    const [result] = ofType(parts, "tool-result");
    assert.equal(call.toolName, "load_skill");
    assert.deepEqual(call.input, { name: "figures" });
    assert(call.providerExecuted && call.dynamic);
    assert.equal(result.toolCallId, call.toolCallId);
    assert.match(JSON.stringify(result.output), /Use tables/);
    const whole = await generateText(ask(provider().responses("x"), "read the skill"));
    assert.equal(whole.text, TOLD);
  },
  "responses: no calls where the caller wants none": async () => {
    const headers = { "x-retinue-steps": "off" };
    const parts = await streamed(ask(template, "read the skill", { headers }));
    assert.equal(text(parts), TOLD);
    assert.equal(ofType(parts, "tool-call").length, 0);
  },
  "responses: the UI's messages come back as history": async () => {
    const first = fromUser("read the skill");
    const answer = await turn([first]);
    assert.equal(ofType(answer.parts, "text").length, 1);
    const [shown] = ofType(answer.parts, "dynamic-tool");
    assert.equal(shown.state, "output-available");
    const again = await turn([first, answer, fromUser("what came first?")]);
    const said = again.parts.find((part) => part.type === "text").text;
    assert.equal(said, "You said: read the skill");
  },
  "responses: structured": async () => {
    const output = Output.object({ schema: Forecast });
    const answer = await generateText(ask(template, "forecast", { output }));
    assert.deepEqual(answer.output, { sky: "grey", degrees: 7 });
  },
  "responses: tools are run by the client": async () => {
    const more = { tools: { weather }, stopWhen: stepCountIs(3) };
    const answer = await generateText(ask(clientsOwn.responses("x"), "the weather?", more));
    assert.equal(answer.text, "It says: rain in Bern");
  },
  "responses: a failure is told": async () => {
    const busy = await raised(() => generateText(ask(template, "busy")));
    assert.equal(busy.statusCode, 429);
    assert.equal((await raised(() => streamed(ask(template, "busy")))).statusCode, 429);
    const broken = await raised(() => streamed(ask(template, "break")));
    assert.match(JSON.stringify(broken), /broke off/);
  },
  "responses: at the app's root": async () => {
    const model = direct.responses("apps/tester");
    assert.equal((await generateText(ask(model, "hi"))).text, SAID);
    assert.equal(text(await streamed(ask(model, "hi"))), SAID);
  },
  "chat agent: plain and streamed": async () => {
    const model = provider().chatAgent("chat-model");
    for (const [prompt, said] of [["hi", SAID], ["read the skill", TOLD]]) {
      assert.equal((await generateText(ask(model, prompt))).text, said);
      const parts = await streamed(ask(model, prompt));
      assert.equal(text(parts), said);
      assert.equal(ofType(parts, "tool-call").length, 0);
    }
  },
  "chat agent: history and failures": async () => {
    const messages = [
      { role: "user", content: "read the skill" },
      { role: "assistant", content: TOLD },
      { role: "user", content: "what came first?" },
    ];
    const model = provider().chatAgent("chat-model");
    const answer = await generateText({ model, messages, maxRetries: 0 });
    assert.equal(answer.text, "You said: read the skill");
    assert.equal((await raised(() => generateText(ask(model, "busy")))).statusCode, 429);
    await raised(() => streamed(ask(model, "break")));
  },
  "chat completions: plain, streamed, structured": async () => {
    const model = direct.chatCompletions("tester");
    const answer = await generateText(ask(model, "hi"));
    assert.equal(answer.text, SAID);
    assert.equal(answer.usage.inputTokens, 10);
    assert.equal(text(await streamed(ask(model, "read the skill"))), TOLD);
    const output = Output.object({ schema: Forecast });
    const formed = await generateText(ask(model, "forecast", { output }));
    assert.deepEqual(formed.output, { sky: "grey", degrees: 7 });
  },
  "chat completions: a model's thinking comes back as history": async () => {
    const messages = [
      { role: "user", content: "hello" },
      {
        role: "assistant",
        content: [
          { type: "reasoning", text: "Hm." },
          { type: "text", text: SAID },
        ],
      },
      { role: "user", content: "what came first?" },
    ];
    const model = direct.chatCompletions("tester");
    const answer = await generateText({ model, messages, maxRetries: 0 });
    assert.equal(answer.text, "You said: hello");
  },
  "chat completions: failures": async () => {
    const model = direct.chatCompletions("tester");
    assert.equal((await raised(() => generateText(ask(model, "busy")))).statusCode, 429);
    await raised(() => streamed(ask(model, "break")));
    const nobody = direct.chatCompletions("nobody");
    assert.equal((await raised(() => generateText(ask(nobody, "hi")))).statusCode, 404);
  },
  "a wrong key": async () => {
    const model = provider({ key: WRONG_KEY }).responses("chat-model");
    assert.equal((await raised(() => generateText(ask(model, "hi")))).statusCode, 401);
  },
};
await run(checks);
