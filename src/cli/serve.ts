import { Command, Option } from "commander";
import { loadConfig } from "../config/load.ts";
import { environmentName, flagName, KEYS, type Key, SETTINGS } from "../config/settings.ts";
import { Failure } from "./failure.ts";
import type { Terminal } from "./program.ts";

/** `data` of `--data DIR` and so on: commander's name of a flag. */
function attribute(key: Key): string {
  return flagName(key).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

const ARGUMENT: Partial<Record<Key, string>> = {
  data: "<dir>",
  "node.name": "<name>",
  "node.zone": "<zone>",
  "http.listen": "<host:port>",
  "p2p.listen": "<host:port>",
  "p2p.advertise": "<address,..>",
};

function option(key: Key): Option {
  const { help, default: value } = SETTINGS[key];
  const isSwitch = SETTINGS[key].allowed === "true or false";
  const unset = value === "" || isSwitch ? "" : ` (default: ${value})`;
  const flags = isSwitch ? `--${flagName(key)}` : `--${flagName(key)} ${ARGUMENT[key] ?? "<value>"}`;
  return new Option(flags, `${help}${unset} [${environmentName(key)}]`);
}

export function serveCommand(terminal: Terminal): Command {
  const command = new Command("serve").description(
    "Run a node. The first of a cluster with --bootstrap, each other with --join and --token; afterwards none of them is needed.",
  );
  command
    .option("--bootstrap", "make a new cluster of this node; a data folder that is in one already goes on with it")
    .option("--join <address>", "join the cluster of the node that listens there; with an identity in place it is ignored")
    .option("--token <token>", "join token of `roadstead token create` [ROADSTEAD_TOKEN]")
    .option("--replace <node>", "with --join, for a node whose disk is lost: the member whose place this one takes [ROADSTEAD_REPLACE]")
    .option("--replace-lost", "with --replace: give up blobs that lie on the old one alone")
    .option("--old-identity <file>", "with --replace: the old identity.key, where it was kept; else the old one has to be down")
    .option("--config <file>", "YAML file with settings, such as config/roadstead.yaml [ROADSTEAD_CONFIG]");
  for (const key of KEYS) command.addOption(option(key));
  return command.action(async (options: Readonly<Record<string, string | boolean | undefined>>) => {
    const flags: Partial<Record<Key, string>> = {};
    for (const key of KEYS) {
      const value = options[attribute(key)];
      if (value !== undefined) flags[key] = String(value);
    }
    const { environment } = terminal;
    const file = textOf(options.config) ?? given(environment.ROADSTEAD_CONFIG);
    const config = loadConfig({ file, environment, flags });
    if (config.data === "") throw new Failure("serve needs --data DIR, the folder that keeps this node's data");
    if (options.bootstrap === true && options.join !== undefined) {
      throw new Failure("--bootstrap makes a new cluster and --join enters one that is there; give one of them");
    }
    const replace = replaceOf(options, environment);
    const { runNode } = await import("../node/run.ts");
    const failure = await runNode(config, {
      bootstrap: options.bootstrap === true,
      join: textOf(options.join) ?? given(environment.ROADSTEAD_JOIN),
      token: textOf(options.token) ?? given(environment.ROADSTEAD_TOKEN),
      replace,
    });
    if (failure !== undefined) throw new Failure(failure);
  });
}

function replaceOf(
  options: Readonly<Record<string, string | boolean | undefined>>,
  environment: Terminal["environment"],
): { node: string; lost: boolean; oldIdentity: string | undefined } | undefined {
  const node = textOf(options.replace) ?? given(environment.ROADSTEAD_REPLACE);
  const [lost, oldIdentity] = [options.replaceLost === true, textOf(options.oldIdentity)];
  if (node !== undefined) return { node, lost, oldIdentity };
  if (lost || oldIdentity !== undefined) throw new Failure("--replace-lost and --old-identity say more of --replace NODE: give that too");
  return undefined;
}

function textOf(value: string | boolean | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** An empty variable is none: systemd and compose files have such. */
function given(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
