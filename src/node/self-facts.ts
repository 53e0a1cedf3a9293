import { hostname } from "node:os";
import { formatHostPort, hostPort } from "../config/kinds.ts";
import type { Config } from "../config/settings.ts";
import type { PeerId } from "../core/peer.ts";
import { COMMAND_VERSION, type MemberFacts } from "../metadata/commands.ts";
import type { Member } from "../metadata/records.ts";

/** `node.name`, else the host's. */
export function nodeName(config: Config): string {
  return (
    config["node.name"] ||
    hostname()
      .replace(/[^A-Za-z0-9._-]/g, "-")
      .slice(0, 63) ||
    "node"
  );
}

/**
 * What this node tells the cluster of itself.
 * @param addresses where the others dial it, none of them a wildcard
 * @param http as it was bound, e.g. `0.0.0.0:5000`
 */
export function selfFacts(config: Config, peerId: PeerId, addresses: readonly string[], http: string): MemberFacts {
  return {
    peerId,
    name: nodeName(config),
    zone: config["node.zone"],
    capacity: config["node.capacity"],
    addresses,
    http: config["http.advertise"] || reachable(http, addresses),
    versionMax: COMMAND_VERSION,
  };
}

/** People cannot connect to a wildcard: the host that the other nodes are told stands in its place. */
function reachable(http: string, addresses: readonly string[]): string {
  const bound = hostPort.parse(http);
  if (bound === undefined || !["0.0.0.0", "::"].includes(bound.host)) return http;
  const host = addresses[0]?.split("/")[2] ?? hostname();
  return formatHostPort({ host, port: bound.port });
}

/** Whether the catalog says of this node what holds now. */
export function isUpToDate(member: Member, facts: MemberFacts): boolean {
  return (
    member.name === facts.name &&
    member.zone === facts.zone &&
    member.capacity === facts.capacity &&
    member.http === facts.http &&
    member.versionMax === facts.versionMax &&
    member.addresses.join(" ") === facts.addresses.join(" ")
  );
}

/** Whether nobody but this machine can connect there. A name other than `localhost` may resolve to anything. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}
