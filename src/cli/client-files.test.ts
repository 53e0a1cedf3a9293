import { expect, test } from "vitest";
import { clientFile, type Mirror } from "./client-files.ts";

const MIRRORS: readonly Mirror[] = [
  { name: "n2", url: "http://10.0.0.2:5000", ms: 0.84 },
  { name: "n1", url: "https://registry-1.example.com:5000", ms: 12 },
  { name: "n3", url: "http://[2001:db8::3]:5000", ms: undefined },
];
const WHAT =
  "# Nodes of a roadstead cluster, the nearest first as measured when this was written; those after it are asked when it does not answer.\n";

test("containerd gets a host for each node in their order, each for pulls and pushes", () => {
  const { path, text } = clientFile("containerd", "registry.example:5000", MIRRORS);
  expect(path).toBe("/etc/containerd/certs.d/registry.example_5000_/hosts.toml");
  const can = '  capabilities = ["pull", "resolve", "push"]\n';
  expect(text).toBe(
    `${WHAT}# Asked when no host below has answered.\nserver = "http://10.0.0.2:5000"\n\n` +
      `# n2: 0.8 ms\n[host."http://10.0.0.2:5000"]\n${can}\n` +
      `# n1: 12.0 ms\n[host."https://registry-1.example.com:5000"]\n${can}\n` +
      `# n3: did not answer\n[host."http://[2001:db8::3]:5000"]\n${can}`,
  );
});

test("podman gets a mirror for each node in their order, insecure where it speaks plain HTTP", () => {
  const { text } = clientFile("podman", "registry.example", MIRRORS);
  expect(text).toBe(
    `${WHAT}[[registry]]\nprefix = "registry.example"\n# Pushes go here alone, and pulls when no mirror has answered.\nlocation = "10.0.0.2:5000"\ninsecure = true\n` +
      `\n# n2: 0.8 ms\n[[registry.mirror]]\nlocation = "10.0.0.2:5000"\ninsecure = true\n` +
      `\n# n1: 12.0 ms\n[[registry.mirror]]\nlocation = "registry-1.example.com:5000"\n` +
      `\n# n3: did not answer\n[[registry.mirror]]\nlocation = "[2001:db8::3]:5000"\ninsecure = true\n`,
  );
});

test("docker, which has no mirrors for this, is told of the nodes that speak plain HTTP, and its user what to do", () => {
  const { text, notes } = clientFile("docker", "registry.example", MIRRORS);
  expect(JSON.parse(text)).toEqual({ "insecure-registries": ["registry.example", "10.0.0.2:5000", "[2001:db8::3]:5000"] });
  expect(notes[0]).toMatch(/docker has mirrors for Docker Hub alone.*DNS name/);
  expect(JSON.parse(clientFile("docker", "registry.example", MIRRORS.slice(1, 2)).text)).toEqual({});
});
