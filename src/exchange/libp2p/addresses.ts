import { isIPv4, isIPv6 } from "node:net";
import { multiaddr } from "@multiformats/multiaddr";

const HOST_PORT = /^(?:\[([^\]\s]+)\]|([^\s:/[\]]+)):(\d{1,5})$/;

/**
 * The multiaddr of `HOST:PORT` (`127.0.0.1:5101`, `[::1]:5101`, `node-1.example:5101`); a text that is a multiaddr already stays as it is.
 * @throws Error with what is allowed
 */
export function toMultiaddr(text: string): string {
  const trimmed = text.trim();
  if (trimmed.startsWith("/")) return checked(trimmed);
  const match = HOST_PORT.exec(trimmed);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) throw malformed(text);
  if (isIPv4(host)) return `/ip4/${host}/tcp/${port}`;
  if (isIPv6(host)) return checked(`/ip6/${host}/tcp/${port}`);
  if (match?.[1] !== undefined) throw malformed(text);
  return checked(`/dns/${host}/tcp/${port}`);
}

function checked(text: string): string {
  try {
    return multiaddr(text).toString();
  } catch (error) {
    throw malformed(text, error);
  }
}

function malformed(text: string, cause?: unknown): Error {
  return new Error(`"${text}" is no address of a peer: give HOST:PORT, [IPv6]:PORT or a multiaddr such as /ip4/192.0.2.1/tcp/5100`, {
    cause,
  });
}

/** `address` with `/p2p/<peer>`, once. */
export function withPeer(address: string, peer: string): string {
  return address.includes("/p2p/") ? address : `${address}/p2p/${peer}`;
}

/** `address` without `/p2p/..`. */
export function withoutPeer(address: string): string {
  const at = address.indexOf("/p2p/");
  return at < 0 ? address : address.slice(0, at);
}

/** The peer id that the address names, or undefined. */
export function peerOf(address: string): string | undefined {
  return /\/p2p\/([^/]+)$/.exec(address)?.[1];
}

/** The host part, for a limit by remote address. */
export function hostOf(address: string): string {
  return address.split("/")[2] ?? address;
}

/**
 * What a node tells others to dial.
 * @param bound where it listens, wildcards expanded to the addresses of its interfaces
 * @param announce what the operator gave (`HOST`, `HOST:PORT` or a multiaddr); a port left out is that of `bound`
 * @returns loopback only where there is nothing else
 */
export function announced(bound: readonly string[], announce: readonly string[]): readonly string[] {
  if (announce.length > 0) return announce.map((text) => toMultiaddr(hasPort(text) ? text : `${bracketed(text)}:${portOf(bound)}`));
  const addresses = [...new Set(bound.map(withoutPeer))].filter((address) => !isWildcard(address));
  const outside = addresses.filter((address) => !isLoopback(address));
  return outside.length > 0 ? outside : addresses;
}

function hasPort(text: string): boolean {
  return text.startsWith("/") || (!isIPv6(text) && HOST_PORT.test(text));
}

function bracketed(host: string): string {
  return isIPv6(host) ? `[${host}]` : host;
}

function portOf(bound: readonly string[]): string {
  return /\/tcp\/(\d+)/.exec(bound[0] ?? "")?.[1] ?? "0";
}

function isWildcard(address: string): boolean {
  return address.startsWith("/ip4/0.0.0.0/") || address.startsWith("/ip6/::/");
}

function isLoopback(address: string): boolean {
  return address.startsWith("/ip4/127.") || address.startsWith("/ip6/::1/");
}
