import { closeSync, openSync, readSync } from "node:fs";
import { isMap, isScalar, LineCounter, parseDocument, type YAMLMap } from "yaml";
import { systemCode } from "../core/errors.ts";
import { type Config, environmentName, flagName, KEYS, type Key, SETTINGS } from "./settings.ts";

const FILE_MAX_BYTES = 1024 * 1024;

/** One line for each thing that is wrong: where it stands, and what is allowed there. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

export interface Sources {
  /** A YAML file; its settings are overridden by the environment, and that by the flags. */
  readonly file?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** By key, as text. */
  readonly flags?: Partial<Record<Key, string | undefined>>;
}

interface Found {
  readonly text: string;
  /** `config.yaml:3`, `ROADSTEAD_DATA` or `--data`. */
  readonly where: string;
}

/** @throws ConfigError with all that is wrong, never just the first */
export function loadConfig(sources: Sources): Config {
  const problems: string[] = [];
  const found = new Map<Key, Found>();
  if (sources.file !== undefined) readYaml(sources.file, found, problems);
  readEnvironment(sources.environment ?? {}, found);
  for (const key of KEYS) {
    const text = sources.flags?.[key];
    if (text !== undefined) found.set(key, { text, where: `--${flagName(key)}` });
  }
  const config = parseAll(found, problems);
  if (problems.length === 0) checkTogether(config, found, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

function readEnvironment(environment: Readonly<Record<string, string | undefined>>, found: Map<Key, Found>): void {
  for (const key of KEYS) {
    const name = environmentName(key);
    const text = environment[name];
    if (text !== undefined && text !== "") found.set(key, { text, where: name });
  }
}

/** A pipe is read to its end, whatever size it says it has; a device without an end is not. @returns undefined where there is more than a configuration has */
function readBounded(path: string): string | undefined {
  const buffer = Buffer.allocUnsafe(FILE_MAX_BYTES + 1);
  const file = openSync(path, "r");
  try {
    let size = 0;
    for (let read = -1; read !== 0 && size < buffer.length; size += read) read = readSync(file, buffer, size, buffer.length - size, null);
    return size > FILE_MAX_BYTES ? undefined : buffer.toString("utf8", 0, size);
  } finally {
    closeSync(file);
  }
}

function readYaml(path: string, found: Map<Key, Found>, problems: string[]): void {
  let source: string | undefined;
  try {
    source = readBounded(path);
  } catch (error) {
    problems.push(`${path}: cannot be read (${systemCode(error) ?? "unknown error"}); name a YAML file that exists and is readable`);
    return;
  }
  if (source === undefined) {
    problems.push(`${path}: is larger than ${FILE_MAX_BYTES / 1024} KiB, which no configuration is; name a YAML file with settings`);
    return;
  }
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  for (const { code, message, pos } of document.errors) {
    const what =
      code === "MULTIPLE_DOCS"
        ? "a second document begins here; expected all settings in one, without a line of ---"
        : `not YAML: ${message}`;
    problems.push(`${path}:${lines.linePos(pos[0]).line}: ${what}`);
  }
  if (document.errors.length > 0 || document.contents === null) return;
  if (isMap(document.contents)) readMap({ path, lines, found, problems }, document.contents, "");
  else problems.push(`${path}:1: expected sections with settings, such as "http:" with "listen: 127.0.0.1:5000" under it`);
}

interface Walk {
  readonly path: string;
  readonly lines: LineCounter;
  readonly found: Map<Key, Found>;
  readonly problems: string[];
}

function readMap(walk: Walk, map: YAMLMap, prefix: string): void {
  for (const { key, value } of map.items) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const full = prefix === "" ? name : `${prefix}.${name}`;
    const position = isScalar(key) && key.range ? walk.lines.linePos(key.range[0]).line : 0;
    const where = `${walk.path}:${position}`;
    const isSetting = KEYS.some((candidate) => candidate === full);
    const isSection = KEYS.some((candidate) => candidate.startsWith(`${full}.`));
    if (isSetting) readValue(walk, full as Key, value, where);
    else if (!isSection) walk.problems.push(`${where}: ${full} is no setting; ${suggestion(full)}`);
    else if (isMap(value)) readMap(walk, value, full);
    else if (!isEmptyScalar(value))
      walk.problems.push(`${where}: ${full} is a section; its settings stand indented under it: ${namesUnder(full)}`);
  }
}

function isEmptyScalar(value: unknown): boolean {
  return value === null || (isScalar(value) && value.value === null);
}

function readValue(walk: Walk, key: Key, value: unknown, where: string): void {
  if (isEmptyScalar(value)) return; // `zone:` with nothing behind it is the default
  if (!isScalar(value)) {
    walk.problems.push(`${where}: ${key} is not one value; expected ${SETTINGS[key].allowed}`);
    return;
  }
  // The source as it was written: YAML would read 1e3 and 0x10 as numbers of its own
  const text = typeof value.value === "string" ? value.value : (value.source ?? String(value.value));
  walk.found.set(key, { text, where });
}

function parseAll(found: ReadonlyMap<Key, Found>, problems: string[]): Config {
  const config: Partial<Record<Key, unknown>> = {};
  for (const key of KEYS) {
    const { text, where } = found.get(key) ?? { text: SETTINGS[key].default, where: "default" };
    const value = SETTINGS[key].parse(text);
    if (value === undefined) problems.push(`${where}: ${key} is ${JSON.stringify(text)}; expected ${SETTINGS[key].allowed}`);
    config[key] = value;
  }
  return config as Config;
}

/** What no setting can say alone. */
function checkTogether(config: Config, found: ReadonlyMap<Key, Found>, problems: string[]): void {
  const where = (...keys: Key[]): string => keys.map((key) => found.get(key)?.where).find((at) => at !== undefined) ?? "default";
  const copies = config["durability.copies"];
  const acks = config["durability.acks"];
  if (acks > copies) {
    problems.push(
      `${where("durability.acks", "durability.copies")}: durability.acks is ${acks}, more than durability.copies (${copies}); expected at most ${copies}`,
    );
  }
  if (config["gc.lease"] < config["uploads.expireAfter"]) {
    problems.push(
      `${where("gc.lease", "uploads.expireAfter")}: gc.lease is shorter than uploads.expireAfter, so that what an upload relies on could go under it; expected at least as long`,
    );
  }
  if ((config["http.tlsCert"] === "") !== (config["http.tlsKey"] === "")) {
    problems.push(`${where("http.tlsCert", "http.tlsKey")}: http.tlsCert and http.tlsKey go together; expected both or neither`);
  }
}

function namesUnder(section: string): string {
  return KEYS.filter((key) => key.startsWith(`${section}.`))
    .map((key) => key.slice(section.length + 1))
    .join(", ");
}

function suggestion(name: string): string {
  const section = name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : "";
  if (section !== "") return `expected one of ${namesUnder(section)}`;
  const sections = new Set(KEYS.map((key) => key.split(".")[0]));
  return `expected one of ${[...sections].join(", ")}`;
}
