// Shows /openapi.json: every operation, what it takes and how it answers. No library, nothing from elsewhere.
"use strict";

const METHODS = ["get", "put", "post", "patch", "delete"];

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function resolved(schema, api) {
  if (!schema || !schema.$ref) return schema || {};
  return api.components.schemas[schema.$ref.split("/").pop()] || {};
}

// A schema in a few words: its type, its allowed values, its limits.
function words(schema, api) {
  const plain = resolved(schema, api);
  if (plain.const !== undefined) return JSON.stringify(plain.const);
  if (plain.enum) return plain.enum.map((value) => JSON.stringify(value)).join(" | ");
  const options = plain.anyOf || plain.oneOf;
  if (options && !plain.properties) return options.map((option) => words(option, api)).join(" | ");
  if (plain.type === "array") return `list of ${words(plain.items, api)}`;
  const limits = [];
  if (plain.minimum !== undefined) limits.push(`from ${plain.minimum}`);
  if (plain.maximum !== undefined) limits.push(`to ${plain.maximum}`);
  if (plain.default !== undefined) limits.push(`default ${JSON.stringify(plain.default)}`);
  if (plain.pattern) limits.push(plain.pattern);
  return [plain.type || "anything", ...limits].join(", ");
}

// An example that has every key, so that the shape can be read at a glance.
function example(schema, api, depth = 0) {
  const plain = resolved(schema, api);
  if (plain.default !== undefined) return plain.default;
  if (plain.const !== undefined) return plain.const;
  if (plain.enum) return plain.enum[0];
  if (plain.properties && depth < 6) {
    return Object.fromEntries(
      Object.entries(plain.properties).map(([name, inner]) => [name, example(inner, api, depth + 1)])
    );
  }
  const options = plain.anyOf || plain.oneOf;
  if (options) return example(options.find((option) => option.type !== "null") || options[0], api, depth + 1);
  if (plain.type === "array") return depth < 6 ? [example(plain.items, api, depth + 1)] : [];
  if (plain.type === "object") return {};
  if (plain.type === "null") return null;
  return { string: "…", integer: 0, number: 0.5, boolean: true }[plain.type] ?? null;
}

function parameterTable(parameters, api) {
  if (!parameters || parameters.length === 0) return null;
  const rows = parameters.map((parameter) =>
    element(
      "tr",
      {},
      element("td", {}, element("code", {}, parameter.name), element("span", { class: "quiet" }, ` ${parameter.in}`)),
      element("td", {}, parameter.description || "", element("div", { class: "quiet" }, words(parameter.schema, api)))
    )
  );
  return element("table", {}, ...rows);
}

function bodies(content, api) {
  return Object.entries(content || {}).map(([kind, media]) => {
    const shown = kind.endsWith("json") ? element("pre", {}, JSON.stringify(example(media.schema, api), null, 2)) : null;
    return element("div", {}, element("code", {}, kind), shown);
  });
}

function answers(responses, api) {
  const rows = Object.entries(responses).map(([status, response]) => {
    const good = status.startsWith("2");
    return element(
      "tr",
      {},
      element("td", {}, element("code", {}, status)),
      element(
        "td",
        {},
        ...response.description.split("\n").map((line) => element("div", {}, line.replaceAll("`", ""))),
        ...(good ? bodies(response.content, api) : [])
      )
    );
  });
  return element("table", {}, ...rows);
}

function curl(path, method, operation) {
  const kinds = Object.keys((operation.requestBody || { content: {} }).content);
  const parts = ["curl"];
  if (method !== "get" && !(method === "post" && kinds.length)) parts.push(`-X ${method.toUpperCase()}`);
  if (kinds.includes("multipart/form-data")) parts.push("-F media=@picture.jpg");
  else if (kinds.includes("application/json")) parts.push("-H 'Content-Type: application/json' -d '{…}'");
  parts.push(`${location.origin}${path}`);
  return parts.join(" ");
}

function shown(path, method, operation, api) {
  const summary = element(
    "summary",
    {},
    element("span", { class: "method" }, method),
    element("code", {}, path),
    element("span", { class: "quiet" }, `  ${operation.summary}`)
  );
  const content = element("div", {}, operation.description ? element("p", {}, operation.description) : null);
  content.append(element("pre", {}, curl(path, method, operation)));
  const parameters = parameterTable(operation.parameters, api);
  if (parameters) content.append(element("h4", {}, "Takes"), parameters);
  if (operation.requestBody) content.append(element("h4", {}, "Body"), ...bodies(operation.requestBody.content, api));
  content.append(element("h4", {}, "Answers"), answers(operation.responses, api));
  return element("details", { class: "operation", id: operation.operationId }, summary, content);
}

function show(api) {
  const main = document.getElementById("operations");
  document.getElementById("summary").textContent = `${api.info.summary} Version ${api.info.version}.`;
  for (const { name } of api.tags) {
    main.append(element("h2", {}, name));
    for (const [path, operations] of Object.entries(api.paths)) {
      for (const method of METHODS) {
        const operation = operations[method];
        if (operation && operation.tags.includes(name)) main.append(shown(path, method, operation, api));
      }
    }
  }
  const named = document.getElementById(location.hash.slice(1));
  if (named) named.open = true;
}

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const operation of document.querySelectorAll("details.operation")) {
    operation.hidden = !operation.querySelector("summary").textContent.toLowerCase().includes(wanted);
  }
});

fetch("/openapi.json")
  .then((response) => response.json())
  .then(show);
