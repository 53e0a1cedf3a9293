import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { renderConfigFile } from "./document.ts";
import { ConfigError, loadConfig } from "./load.ts";
import { environmentName, flagName, KEYS, SETTINGS } from "./settings.ts";

const folder = mkdtempSync(join(tmpdir(), "roadstead-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(text: string): string {
  const path = join(folder, "roadstead.yaml");
  writeFileSync(path, text);
  return path;
}

function problemsOf(text: string): readonly string[] {
  try {
    loadConfig({ file: file(text) });
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((problem) => problem.replace(`${folder}/`, ""));
    throw error;
  }
  return [];
}

test("every default is allowed by its own setting", () => {
  const config = loadConfig({});
  for (const key of KEYS) expect(config[key], key).toEqual(SETTINGS[key].parse(SETTINGS[key].default));
  expect(config["http.manifestSizeMax"]).toBe(4 * 1024 * 1024);
  expect(config["uploads.expireAfter"]).toBe(24 * 3_600_000);
});

test("a flag goes before the environment, and that before the file", () => {
  const path = file("durability:\n  copies: 7\n  acks: 3\nhttp:\n  deadline: 3s\n");
  const environment = { ROADSTEAD_DURABILITY_COPIES: "6", ROADSTEAD_HTTP_DEADLINE: "4s" };
  const config = loadConfig({ file: path, environment, flags: { "http.deadline": "5s" } });
  expect(config["durability.acks"]).toBe(3);
  expect(config["durability.copies"]).toBe(6);
  expect(config["http.deadline"]).toBe(5_000);
});

test("an empty variable of the environment is none", () => {
  expect(loadConfig({ environment: { ROADSTEAD_DURABILITY_COPIES: "" } })["durability.copies"]).toBe(3);
});

test("a wrong value names the file, the line, the key and what is allowed", () => {
  expect(problemsOf("http:\n  listen: here\n  deadline: 10\nraft:\n  tick: 5 parsecs\n")).toEqual([
    'roadstead.yaml:2: http.listen is "here"; expected HOST:PORT such as 127.0.0.1:5000, [::1]:5000 or 0.0.0.0:5000, with a port from 0 to 65535',
    'roadstead.yaml:3: http.deadline is "10"; expected a duration such as 100ms, 10s, 5m, 24h or 7d, above 0 and at most 24d',
    'roadstead.yaml:5: raft.tick is "5 parsecs"; expected a duration such as 100ms, 10s, 5m, 24h or 7d, above 0 and at most 24d',
  ]);
});

test("a wildcard is never announced: p2p.advertise is what others dial", () => {
  const wildcards = ["0.0.0.0:5100", "[::]:5100", "[0:0:0:0:0:0:0:0]:5100", "/ip4/0.0.0.0/tcp/5100", "/ip6/::/tcp/5100"];
  for (const address of [...wildcards, "10.0.0.1:0", "/ip4/10.0.0.1/tcp/70000"]) {
    expect(problemsOf(`p2p:\n  advertise: "10.0.0.1:5100,${address}"\n`), address).toEqual([
      expect.stringMatching(/^roadstead\.yaml:2: p2p\.advertise is .*; expected an address that the others can dial/),
    ]);
  }
  for (const address of ["10.0.0.0:5100", "[::1]:5100", "[fd00::]:5100", "/dns4/registry-1/tcp/5100", "0.example.com:5100"])
    expect(problemsOf(`p2p:\n  advertise: "${address}"\n`), address).toEqual([]);
});

test("what clients are told to connect to is an address that they can use, or nothing", () => {
  for (const address of ["0.0.0.0:5000", "[::]:5000", "10.0.0.1:0", "registry.example", "http://registry.example:5000"]) {
    expect(problemsOf(`http:\n  advertise: "${address}"\n`), address).toEqual([
      expect.stringMatching(/^roadstead\.yaml:2: http\.advertise is .*; expected HOST:PORT that clients can connect to/),
    ]);
  }
  for (const address of ["", "registry-1.example.com:5000", "[2001:db8::1]:5000"])
    expect(problemsOf(`http:\n  advertise: "${address}"\n`), address).toEqual([]);
});

test("a second document in the file is told in the words of the file", () => {
  expect(problemsOf("http:\n  deadline: 3s\n---\nraft:\n  tick: 1s\n")).toEqual([
    "roadstead.yaml:3: a second document begins here; expected all settings in one, without a line of ---",
  ]);
});

test("a lease that is shorter than an upload may idle is refused: what the upload relies on could go under it", () => {
  expect(problemsOf("gc:\n  lease: 1h\n")).toEqual([expect.stringContaining("gc.lease is shorter than uploads.expireAfter")]);
  expect(problemsOf("gc:\n  lease: 1h\nuploads:\n  expireAfter: 1h\n")).toEqual([]);
});

test("an unknown key names the ones that are known there", () => {
  expect(problemsOf("durability:\n  copy: 2\nbogus: 1\n")).toEqual([
    expect.stringMatching(/^roadstead\.yaml:2: durability\.copy is no setting; expected one of copies, acks\b/),
    expect.stringMatching(/^roadstead\.yaml:3: bogus is no setting; expected one of data, node, http, /),
  ]);
});

test("a file that is not YAML names the line", () => {
  expect(problemsOf("http:\n  listen: [1\n")[0]).toMatch(/^roadstead\.yaml:\d+: not YAML: /);
  expect(problemsOf("just words")).toEqual([expect.stringMatching(/^roadstead\.yaml:1: expected sections/)]);
});

test("a key that stands twice is refused with its line", () => {
  expect(problemsOf("log:\n  level: info\n  level: warn\n")).toEqual([expect.stringMatching(/^roadstead\.yaml:3: not YAML: .*unique/)]);
});

test("a section without settings and a setting without a value are the defaults", () => {
  expect(problemsOf("http:\nnode:\n  zone:\n")).toEqual([]);
});

test("a value where a section belongs, and a list where a value belongs, are refused", () => {
  expect(problemsOf("http: 127.0.0.1:5000\nnode:\n  zone: [a, b]\n")).toEqual([
    expect.stringMatching(/^roadstead\.yaml:1: http is a section; .*listen/),
    expect.stringMatching(/^roadstead\.yaml:3: node\.zone is not one value; expected /),
  ]);
});

test("a file that is not there is one clear line", () => {
  const path = join(folder, "absent.yaml");
  expect(() => loadConfig({ file: path })).toThrow(`${path}: cannot be read (ENOENT)`);
});

test("more acknowledgements than copies are refused, wherever they were set", () => {
  expect(problemsOf("durability:\n  acks: 4\n")).toEqual([
    "roadstead.yaml:2: durability.acks is 4, more than durability.copies (3); expected at most 3",
  ]);
  expect(() => loadConfig({ flags: { "durability.copies": "1" } })).toThrow("--durability-copies: durability.acks is 2, more than");
});

test("a certificate without its key is refused", () => {
  expect(() => loadConfig({ flags: { "http.tlsCert": "cert.pem" } })).toThrow("both or neither");
});

test("a file that is larger than any configuration, or has no end, is refused and not read on", () => {
  expect(() => loadConfig({ file: "/dev/zero" })).toThrow("/dev/zero: is larger than 1024 KiB");
  const whole = "# a comment of 64 characters, as often as it fits into one MiB..\n".repeat(16_000);
  expect(loadConfig({ file: file(whole) })).toEqual(loadConfig({}));
  expect(problemsOf(`${whole}${whole}`)).toEqual([expect.stringContaining("is larger than 1024 KiB")]);
});

test("an IPv6 address stands in brackets", () => {
  expect(loadConfig({ flags: { "http.listen": "[::1]:5000" } })["http.listen"]).toEqual({ host: "::1", port: 5000 });
  expect(() => loadConfig({ flags: { "http.listen": "::1:5000" } })).toThrow(ConfigError);
});

test("the commented file, once its settings are uncommented, says the defaults", () => {
  const uncommented = renderConfigFile().replace(/^(\s*)#([A-Za-z]+:( .*)?)$/gm, "$1$2");
  expect(uncommented).not.toBe(renderConfigFile());
  expect(loadConfig({ file: file(uncommented) })).toEqual(loadConfig({}));
  expect(loadConfig({ file: file(renderConfigFile()) })).toEqual(loadConfig({}));
});

test("names on the command line and in the environment are unique", () => {
  expect(new Set(KEYS.map(flagName)).size).toBe(KEYS.length);
  expect(new Set(KEYS.map(environmentName)).size).toBe(KEYS.length);
  expect(environmentName("http.manifestSizeMax")).toBe("ROADSTEAD_HTTP_MANIFEST_SIZE_MAX");
  expect(flagName("durability.copies")).toBe("durability-copies");
});
