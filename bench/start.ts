import { join } from "node:path";
import { type ClusterOptions, startCluster } from "../test/harness/cluster.ts";
import { program } from "../test/harness/program.ts";
import { median, type Row } from "./report.ts";

/** From start to ready: of the program as published, and of a checkout's sources, which Node strips of their types. */
export async function startSection(): Promise<readonly Row[]> {
  await program(); // made before anything is timed
  const published = await startTimes({ nodes: 1 });
  const sources = await startTimes({ nodes: 1, main: join(import.meta.dirname, "../src/cli/main.ts") });
  const row = (what: string, alone: number, joining: number): readonly Row[] => [
    { what: `start to ready, alone, ${what}`, unit: "ms", values: { alone }, bar: "< 1000" },
    { what: `start to ready, joining a live leader, ${what}`, unit: "ms", values: { "follower of 3": joining }, bar: "< 1000" },
  ];
  return [...row("as published", published.alone, published.joining), ...row("a checkout's sources", sources.alone, sources.joining)];
}

/** Medians of five starts on its data and of three joins, in milliseconds. */
async function startTimes(options: ClusterOptions): Promise<{ alone: number; joining: number }> {
  const one = await startCluster(options);
  const alone: number[] = [];
  const joining: number[] = [];
  try {
    const [node] = one.nodes;
    for (let round = 0; round < 5; round += 1) {
      await node!.kill("SIGTERM");
      const begun = performance.now();
      await node!.start();
      alone.push(performance.now() - begun);
    }
    for (let round = 0; round < 3; round += 1) {
      const token = await one.token();
      const begun = performance.now();
      await one.grow(`joiner-${round}`, token);
      joining.push(performance.now() - begun);
    }
  } finally {
    await one.stop();
  }
  return { alone: median(alone), joining: median(joining) };
}
