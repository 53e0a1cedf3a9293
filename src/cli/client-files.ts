/** A node as clients reach it. */
export interface Mirror {
  readonly name: string;
  /** `http://` or `https://`, host and port. */
  readonly url: string;
  /** The median of some requests from here; undefined where it did not answer. */
  readonly ms: number | undefined;
}

export const CLIENTS = ["containerd", "podman", "docker"] as const;
export type ClientKind = (typeof CLIENTS)[number];

export interface ClientFile {
  /** Where that client looks for it. */
  readonly path: string;
  readonly text: string;
  /** What the file cannot say. */
  readonly notes: readonly string[];
}

/**
 * The configuration by which a client finds the nodes, in the order of `mirrors`.
 * @param registry the name that images are called by, such as `registry.example.com`
 */
export function clientFile(kind: ClientKind, registry: string, mirrors: readonly Mirror[]): ClientFile {
  switch (kind) {
    case "containerd":
      return containerdFile(registry, mirrors);
    case "podman":
      return podmanFile(registry, mirrors);
    case "docker":
      return dockerFile(registry, mirrors);
    default:
      return kind satisfies never;
  }
}

const WHAT =
  "Nodes of a roadstead cluster, the nearest first as measured when this was written; those after it are asked when it does not answer.";

/** @see https://github.com/containerd/containerd/blob/main/docs/hosts.md */
function containerdFile(registry: string, mirrors: readonly Mirror[]): ClientFile {
  const hosts = mirrors.map((mirror) => `${comment(mirror)}[host.${quote(mirror.url)}]\n  capabilities = ["pull", "resolve", "push"]\n`);
  const server = `# Asked when no host below has answered.\nserver = ${quote(mirrors[0]?.url ?? "")}\n`;
  return {
    path: `/etc/containerd/certs.d/${registry.replace(/:(\d+)$/, "_$1_")}/hosts.toml`,
    text: `# ${WHAT}\n${server}\n${hosts.join("\n")}`,
    notes: ['containerd reads it where config_path is "/etc/containerd/certs.d"; ctr takes --hosts-dir'],
  };
}

/** @see containers-registries.conf(5) */
function podmanFile(registry: string, mirrors: readonly Mirror[]): ClientFile {
  const place = (mirror: Mirror | undefined): string =>
    `location = ${quote(mirror === undefined ? "" : hostOf(mirror.url))}\n${mirror !== undefined && isPlain(mirror) ? "insecure = true\n" : ""}`;
  const listed = mirrors.map((mirror) => `\n${comment(mirror)}[[registry.mirror]]\n${place(mirror)}`);
  return {
    path: "/etc/containers/registries.conf.d/roadstead.conf",
    text: `# ${WHAT}\n[[registry]]\nprefix = ${quote(registry)}\n# Pushes go here alone, and pulls when no mirror has answered.\n${place(mirrors[0])}${listed.join("")}`,
    notes: ["podman, buildah and skopeo read it"],
  };
}

/** @see https://docs.docker.com/reference/cli/dockerd/ */
function dockerFile(registry: string, mirrors: readonly Mirror[]): ClientFile {
  const plain = mirrors.filter(isPlain).map((mirror) => hostOf(mirror.url));
  const open = plain.length === 0 ? {} : { "insecure-registries": [...new Set([registry, ...plain])] };
  return {
    path: "/etc/docker/daemon.json",
    text: `${JSON.stringify(open, undefined, 2)}\n`,
    notes: [
      `docker has mirrors for Docker Hub alone: let ${registry} be a DNS name with the addresses of all nodes, or name a node in the image's name; the nearest is ${mirrors[0]?.url ?? "none"}`,
      "merge this with what is in daemon.json already, and restart dockerd",
    ],
  };
}

function comment({ name, ms }: Mirror): string {
  return `# ${name}: ${ms === undefined ? "did not answer" : `${ms.toFixed(1)} ms`}\n`;
}

function isPlain(mirror: Mirror): boolean {
  return mirror.url.startsWith("http://");
}

function hostOf(url: string): string {
  return url.replace(/^https?:\/\//, "");
}

/** A basic string of TOML: JSON's escapes are among its own. */
function quote(text: string): string {
  return JSON.stringify(text);
}
