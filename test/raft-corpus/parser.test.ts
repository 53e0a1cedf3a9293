import { expect, test } from "vitest";
import { HarnessError } from "./harness-error.ts";
import { flag, optionList, parseDirectives, positional } from "./parser.ts";

function only(text: string): ReturnType<typeof parseDirectives>[number] {
  const [directive, ...others] = parseDirectives(text);
  if (directive === undefined || others.length > 0) throw new Error(`one directive was expected in ${text}`);
  return directive;
}

test("arguments are split at top-level commas, and spaces after commas are dropped", () => {
  const directive = only("add-nodes 3 voters=(1, 2,3) learners=() f=((a,b), c) index=10 empty=\n----\nok\n");
  expect(directive.args).toEqual([
    { key: "3", values: [] },
    { key: "voters", values: ["1", "2", "3"] },
    { key: "learners", values: [] },
    { key: "f", values: ["(a,b)", "c"] },
    { key: "index", values: ["10"] },
    { key: "empty", values: [""] },
  ]);
  expect(positional(only("stabilize 1 log-level=none 2\n----\n"))).toEqual(["1", "2"]);
  expect(optionList(only("deliver-msgs drop=(1) drop=2\n----\n"), "drop")).toEqual(["1", "2"]);
});

test("a directive goes on behind a backslash; comments count between cases alone; input is trimmed", () => {
  const directives = parseDirectives("# a\n\nadd-nodes 1 \\\n  index=5\n# input\n\n----\nx\n\n  # b\ncampaign 1\n----\n");
  expect(directives.map(({ line, command, input, expected }) => ({ line, command, input, expected }))).toEqual([
    { line: 3, command: "add-nodes", input: "# input", expected: "x\n" },
    { line: 11, command: "campaign", input: "", expected: "" },
  ]);
  expect(directives[0]?.args.map(({ key }) => key)).toEqual(["1", "index"]);
});

test("an expected block between doubled separators may hold blank lines", () => {
  const directives = parseDirectives("a\n----\n----\nx\n\ny\n----\n----\n\nb\n----\nz\n");
  expect(directives.map(({ command, expected }) => [command, expected])).toEqual([
    ["a", "x\n\ny\n"],
    ["b", "z\n"],
  ]);
});

test("a boolean is true or false", () => {
  const directive = only("add-nodes 1 prevote=true checkquorum=1\n----\n");
  expect(flag(directive, "prevote")).toBe(true);
  expect(flag(directive, "absent")).toBe(false);
  expect(() => flag(directive, "checkquorum")).toThrow(HarnessError);
});
