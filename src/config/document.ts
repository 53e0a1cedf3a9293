import { environmentName, flagName, KEYS, SETTINGS } from "./settings.ts";

const LINE_WIDTH = 100;

/** config/roadstead.yaml: every setting with its help, commented out at its default. */
export function renderConfigFile(): string {
  const lines = [
    "# The settings of a roadstead node, each commented out at its default. Made from src/config/settings.ts",
    "# by `node scripts/config.ts`. The environment goes before this file, and flags before both.",
  ];
  let section = "";
  for (const key of KEYS) {
    const dot = key.indexOf(".");
    const own = dot < 0 ? "" : key.slice(0, dot);
    if (own !== section) {
      section = own;
      lines.push("", `${section}:`);
    } else {
      lines.push("");
    }
    const indent = own === "" ? "" : "  ";
    const { help, allowed, default: value } = SETTINGS[key];
    const width = LINE_WIDTH - indent.length - 2;
    const about = [
      help,
      ...(allowed === "any text" ? [] : [`Expected: ${allowed}.`]),
      `Also ${environmentName(key)} and --${flagName(key)}.`,
    ];
    lines.push(...about.flatMap((sentence) => wrap(sentence, width)).map((line) => `${indent}# ${line}`));
    const name = dot < 0 ? key : key.slice(dot + 1);
    lines.push(`${indent}#${name}:${value === "" ? "" : ` ${value}`}`);
  }
  return `${lines.join("\n")}\n`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
