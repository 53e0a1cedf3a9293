import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize, relative } from "node:path";
import { parseSync } from "oxc-parser";
import { expect, test } from "vitest";

// Each rule lists every place that breaks it, as "file:line: what is there; what to do".

const ROOT = join(import.meta.dirname, "..");
const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

/** design.md, "Where code lives": what each folder of src/ may import. `node` may import all. */
const BELOW_USE_CASES = ["consensus", "blobs", "exchange", "upstream", "raft", "metadata", "placement", "auth", "trust", "config", "core"];
const FLOORS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  raft: ["core"],
  metadata: ["core"],
  placement: ["core"],
  auth: ["core"],
  trust: ["core"],
  config: ["core"],
  consensus: ["raft", "metadata", "core"],
  blobs: ["core"],
  exchange: ["core"],
  upstream: ["core"],
  registry: BELOW_USE_CASES,
  upkeep: BELOW_USE_CASES,
  http: ["registry", "upkeep", "auth", "core"],
  cli: ["core", "config"],
  migrate: ["core", "config"],
  ui: ["core", "config"],
};

/** The one door from the aside to the roof: `roadstead serve` starts a node. */
const DOORS: readonly (readonly [from: string, to: string])[] = [["src/cli/serve.ts", "src/node/run.ts"]];

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly nodes: readonly Node[];
  readonly imports: readonly { readonly specifier: string; readonly line: number }[];
  line(offset: number): number;
}

function walk(folder: string, accept: (path: string) => boolean): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return ["node_modules", "dist", "testdata"].includes(entry.name) ? [] : walk(path, accept);
    return accept(path) ? [path] : [];
  });
}

function folders(...names: string[]): string[] {
  const present = new Set(readdirSync(ROOT));
  return names.filter((name) => present.has(name));
}

function lineCounter(text: string): (offset: number) => number {
  const ends = [...text.matchAll(/\n/g)].map((match) => match.index);
  return (offset) => 1 + ends.filter((end) => end < offset).length;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" && "start" in value;
}

function* descend(value: unknown): Generator<Node> {
  if (Array.isArray(value)) {
    for (const item of value) yield* descend(item);
  } else if (isNode(value)) {
    yield value;
    for (const child of Object.values(value)) if (typeof child === "object") yield* descend(child);
  }
}

function parse(path: string): Source {
  const text = readFileSync(join(ROOT, path), "utf8");
  const line = lineCounter(text);
  const result = parseSync(path, text);
  const { staticImports, staticExports, dynamicImports } = result.module;
  const requests = [
    ...staticImports.map((found) => found.moduleRequest),
    ...staticExports.flatMap((found) => found.entries.map((entry) => entry.moduleRequest)),
  ].filter((request) => request !== null && request !== undefined);
  const imports = requests.map((request) => ({ specifier: request.value, line: line(request.start) }));
  for (const { moduleRequest } of dynamicImports) {
    const quoted = text.slice(moduleRequest.start, moduleRequest.end);
    if (/^["']/.test(quoted)) imports.push({ specifier: quoted.slice(1, -1), line: line(moduleRequest.start) });
  }
  return { path, text, nodes: [...descend(result.program)], imports, line };
}

const sources = folders("src", "cluster", "scripts", "bench", "test")
  .flatMap((folder) => walk(folder, (path) => path.endsWith(".ts")))
  .map(parse);
const product = sources.filter(({ path }) => path.startsWith("src/"));
const shipped = product.filter(({ path }) => !isTest(path));

function isTest(path: string): boolean {
  return path.endsWith(".test.ts") || /(?:^|[./-])conformance\.ts$/.test(path);
}

function targetOf(path: string, specifier: string): string | undefined {
  return specifier.startsWith(".") ? normalize(join(dirname(path), specifier)) : undefined;
}

function find(
  among: readonly Source[],
  types: readonly string[],
  remedy: string,
  accept: (node: Node, source: Source) => boolean = () => true,
) {
  return among.flatMap((source) =>
    source.nodes
      .filter((node) => types.includes(node.type) && accept(node, source))
      .map((node) => `${source.path}:${source.line(node.start)}: ${remedy}`),
  );
}

test("every folder of src/ has its row in the table of floors", () => {
  const rows = new Set([...Object.keys(FLOORS), "node"]);
  const missing = readdirSync(join(ROOT, "src")).filter((name) => !rows.has(name));
  expect(missing.map((name) => `src/${name}: no row; put the code into a folder of design.md, or give it a row here and there`)).toEqual(
    [],
  );
});

test("a folder imports only what its floor allows", () => {
  const broken = shipped.flatMap(({ path, imports }) => {
    const own = path.split("/")[1] ?? "";
    const allowed = FLOORS[own];
    if (allowed === undefined) return []; // node/, the roof
    return imports.flatMap(({ specifier, line }) => {
      const target = targetOf(path, specifier);
      const folder = target?.split("/")[1];
      if (target === undefined || folder === own || allowed.includes(folder ?? "")) return [];
      if (DOORS.some(([from, to]) => from === path && to === target)) return [];
      const remedy = `${own}/ may import ${allowed.join(", ") || "nothing"}; take what you need as an argument, by a type of your own or of core/`;
      return [`${path}:${line}: imports ${target}; ${remedy}`];
    });
  });
  expect(broken).toEqual([]);
});

test("a subfolder binds a technology, and only node/ and the subfolder itself import it", () => {
  const broken = shipped.flatMap(({ path, imports }) =>
    imports.flatMap(({ specifier, line }) => {
      const target = targetOf(path, specifier);
      if (target === undefined || target.split("/").length < 4 || path.startsWith("src/node/")) return [];
      if (dirname(path) === dirname(target) || dirname(path).startsWith(`${dirname(target)}/`)) return [];
      const sibling = target.split("/").slice(0, 3).join("/");
      if (path.startsWith(`${sibling}/`)) return [];
      return [`${path}:${line}: imports the adapter ${target}; import the port beside the adapter, and let node/ pass the adapter in`];
    }),
  );
  expect(broken).toEqual([]);
});

test(`no file has more than ${FILE_LINES_MAX} lines`, () => {
  const long = sources
    .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > FILE_LINES_MAX);
  expect(long.map(({ path, lines }) => `${path}: ${lines} lines; it is two files: split it by what changes together`)).toEqual([]);
});

test(`no function has more than ${FUNCTION_LINES_MAX} lines`, () => {
  const types = ["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"];
  const remedy = `a function of more than ${FUNCTION_LINES_MAX} lines; give its steps names of their own`;
  const long = find(sources, types, remedy, (node, { line }) => line(node.end) - line(node.start) + 1 > FUNCTION_LINES_MAX);
  expect(long).toEqual([]);
});

test("no `any`, and no syntax that type stripping cannot erase", () => {
  expect([
    ...find(sources, ["TSAnyKeyword"], "any; say what it is, or unknown and narrow it"),
    ...find(sources, ["TSEnumDeclaration"], "an enum; a union of string literals is erasable"),
    ...find(sources, ["TSParameterProperty"], "a parameter property; declare the field and assign it"),
    ...find(
      sources,
      ["TSModuleDeclaration"],
      "a namespace; a module is a file",
      (node, { text }) => !/^declare\b/.test(text.slice(node.start, node.end)),
    ),
  ]).toEqual([]);
});

test("src/ does not write to the console", () => {
  const remedy = "console; take a Log as an argument, or write to process.stdout in cli/";
  expect(find(product, ["MemberExpression"], remedy, (node, { text }) => text.slice(node.start, node.end).startsWith("console."))).toEqual(
    [],
  );
});

test("nothing is exported by default", () => {
  const own = sources.filter(({ path }) => !path.endsWith(".config.ts")); // a tool asks for theirs
  expect(find(own, ["ExportDefaultDeclaration"], "a default export; give it a name, the same at every import")).toEqual([]);
});

test("no words of unfinished work", () => {
  const words = new RegExp(`\\b(?:${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b`, "g");
  const found = sources.flatMap(({ path, text, line }) =>
    [...text.matchAll(words)].map(
      (match) => `${path}:${line(match.index)}: ${match[0]}; finish it, or open an issue and say there why it waits`,
    ),
  );
  expect(found).toEqual([]);
});

test("no file names a place on somebody's machine", () => {
  const places = new RegExp(`(?<![\\w.}])/(?:${["wo" + "rk", "tm" + "p", "ho" + "me", "ro" + "ot"].join("|")})/`, "g");
  const texts = [...folders("src", "cluster", "scripts", "bench", "test", "config", "docs")].flatMap((folder) =>
    walk(folder, (path) => /\.(?:ts|md|ya?ml|json|service|env|sh)$|Dockerfile$/.test(path)),
  );
  const pages = readdirSync(ROOT).filter((name) => name.endsWith(".md"));
  const found = [...texts, ...pages].flatMap((path) => {
    const text = readFileSync(join(ROOT, path), "utf8");
    const line = lineCounter(text);
    return [...text.matchAll(places)].map(
      (match) => `${path}:${line(match.index)}: ${match[0]}; take the path as an argument or from os.tmpdir()`,
    );
  });
  expect(found).toEqual([]);
});

test("files are kebab-case, and no folder is a drawer", () => {
  const drawers = new Set(["utils", "util", "helpers", "common", "misc", "lib"]);
  const broken = sources.flatMap(({ path }) => [
    ...(/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.(?:test|bench|conformance|suite|config))?\.ts$/.test(basename(path))
      ? []
      : [`${path}: not kebab-case; rename it, a noun`]),
    ...(dirname(path)
      .split("/")
      .some((part) => drawers.has(part))
      ? [`${path}: a drawer; put it beside what uses it, or in core/`]
      : []),
  ]);
  expect(broken).toEqual([]);
});

test("no barrels: a file has code of its own", () => {
  const barrels = sources.filter(({ text, nodes }) => {
    const statements = nodes[0] !== undefined && "body" in nodes[0] && Array.isArray(nodes[0].body) ? (nodes[0].body as Node[]) : [];
    const passes = statements.filter((node) => /^export\b[^;]*\bfrom\s+["']/s.test(text.slice(node.start, node.end)));
    return statements.length > 0 && passes.length === statements.length;
  });
  expect(barrels.map(({ path }) => `${path}: only passes on exports; import from the file that has the code`)).toEqual([]);
});

test("every file that the pages name is there", () => {
  const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "ROADMAP.md"];
  const present = new Set(readdirSync(ROOT));
  const known = new Set([
    ...folders("src", "cluster", "scripts", "bench", "test", "config", "docs").flatMap((folder) => walk(folder, () => true)),
  ]);
  const isKnown = (path: string): boolean => known.has(path) || [...known].some((file) => file.startsWith(`${path.replace(/\/$/, "")}/`));
  const broken = pages
    .filter((page) => present.has(page))
    .flatMap((page) => {
      const text = readFileSync(join(ROOT, page), "utf8");
      const line = lineCounter(text);
      return [...text.matchAll(/`((?:src|cluster|scripts|bench|test|config|docs)\/[\w./-]*)`/g)]
        .filter((match) => !isKnown(match[1] ?? ""))
        .map((match) => `${relative(".", page)}:${line(match.index)}: ${match[1]} is not there; name the file as it is now`);
    });
  expect(broken).toEqual([]);
});
