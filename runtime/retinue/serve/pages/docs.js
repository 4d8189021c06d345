// openapi.json → a page. Text only ever becomes text nodes, never markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function resolved(schema, spec) {
  const path = schema && schema.$ref;
  if (!path) return schema || {};
  return path.slice(2).split("/").reduce((at, step) => at[step], spec);
}

function typeOf(schema, spec) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const branches = schema.anyOf || schema.oneOf;
  if (branches) return branches.map((branch) => typeOf(branch, spec)).filter((t) => t !== "null").join(" | ");
  if (schema.type === "array") return typeOf(schema.items, spec) + "[]";
  return [].concat(schema.type || "any").join(" | ");
}

function fields(schema, spec) {
  const whole = resolved(schema, spec);
  const required = whole.required || [];
  const rows = Object.entries(whole.properties || {})
    .sort(([a], [b]) => required.includes(b) - required.includes(a))
    .map(([name, field]) =>
      make("tr", {},
        make("td", {}, make("code", {}, name), required.includes(name) ? " *" : ""),
        make("td", {}, typeOf(field, spec)),
        make("td", {}, resolved(field, spec).description || "")));
  const head = make("tr", {}, make("th", {}, "Field"), make("th", {}, "Type"), make("th", {}, ""));
  return rows.length ? make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)) : "";
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

function examplesOf(media) {
  if (media.examples) return Object.entries(media.examples).map(([name, e]) => [name, e.value]);
  return [["example", media.example]];
}

function answers(operation) {
  return Object.entries(operation.responses).map(([status, answer]) => {
    const examples = Object.entries(answer.content || {})
      .filter(([, media]) => media.example !== undefined)
      .map(([type, media]) => make("div", {}, make("code", {}, type), make("pre", {}, shown(media.example))));
    return make("details", {}, make("summary", {}, `${status} ${answer.description}`), ...examples);
  });
}

async function read(response, output) {
  // A stream is shown as it comes; an answer in one piece is laid out at its end.
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const streamed = (response.headers.get("content-type") || "").startsWith("text/event-stream");
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    text += decoder.decode(value, { stream: !done });
    if (streamed) output.textContent = text;
    if (done) break;
  }
  if (streamed) return;
  try {
    output.textContent = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    output.textContent = text;
  }
}

function trial(method, path, body, parameters) {
  const key = document.getElementById("key");
  const inputs = parameters.map((parameter) =>
    make("input", { placeholder: parameter.name, ariaLabel: parameter.name }));
  const status = make("p");
  const output = make("pre", { hidden: true });
  let running = null;
  const send = make("button", { type: "button" }, "Send");
  const stop = make("button", { type: "button", disabled: true }, "Stop");
  stop.onclick = () => running && running.abort();
  send.onclick = async () => {
    const filled = inputs.reduce(
      (whole, input, n) => whole.replace(`{${parameters[n].name}}`, encodeURIComponent(input.value)), path);
    const headers = {};
    if (body) headers["content-type"] = "application/json";
    if (key.value) headers.authorization = `Bearer ${key.value}`;
    running = new AbortController();
    [send.disabled, stop.disabled, output.hidden] = [true, false, false];
    [status.textContent, status.className, output.textContent] = ["…", "", ""];
    const began = performance.now();
    try {
      const response = await fetch(filled.replace(/^\//, ""), {
        method: method.toUpperCase(), headers, body: body ? body.value : undefined, signal: running.signal,
      });
      const id = response.headers.get("x-request-id");
      status.className = response.ok ? "" : "failed";
      status.textContent = `${response.status} · x-request-id ${id}`;
      await read(response, output);
      status.textContent += ` · ${Math.round(performance.now() - began)} ms`;
    } catch (error) {
      status.className = "failed";
      status.textContent = error.name === "AbortError" ? "stopped" : String(error);
    }
    [send.disabled, stop.disabled, running] = [false, true, null];
  };
  return [make("div", { className: "row" }, ...inputs, send, stop), status, output];
}

function operationOf(path, method, operation, spec) {
  const inside = make("div", { className: "inside" });
  const built = make("details", { className: "operation" },
    make("summary", {},
      make("span", { className: `method ${method}` }, method.toUpperCase()),
      make("span", { className: "path" }, path),
      make("span", { className: "about" }, operation.summary || "")),
    inside);
  if (operation.description) inside.append(make("p", {}, operation.description));
  const media = operation.requestBody && operation.requestBody.content["application/json"];
  let body = null;
  if (media) {
    const examples = examplesOf(media);
    body = make("textarea", { value: shown(examples[0][1]), spellcheck: false, ariaLabel: "Request body" });
    const choice = make("select", { ariaLabel: "Example" }, ...examples.map(([name]) => make("option", {}, name)));
    choice.onchange = () => { body.value = shown(examples[choice.selectedIndex][1]); };
    const all = make("details", {}, make("summary", {}, "Fields of the request"), fields(media.schema, spec));
    inside.append(all, make("h3", {}, "Request"), choice, body);
  }
  const parameters = (operation.parameters || []).filter((parameter) => parameter.in === "path");
  inside.append(...trial(method, path, body, parameters), make("h3", {}, "Answers"), ...answers(operation));
  return built;
}

async function start() {
  const main = document.getElementById("operations");
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`openapi.json: ${response.status}`);
  const spec = await response.json();
  document.getElementById("title").textContent = `${spec.info.title} ${spec.info.version}`;
  const byTag = new Map();
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!byTag.has(tag)) byTag.set(tag, []);
      byTag.get(tag).push(operationOf(path, method, item[method], spec));
    }
  }
  const sections = [...byTag].flatMap(([tag, built]) => [make("h2", {}, tag), ...built]);
  main.replaceChildren(...sections);
  const first = main.querySelector("details");
  if (first) first.open = true;
}

start().catch((error) => {
  document.getElementById("operations").replaceChildren(make("p", { className: "failed" }, String(error)));
});
