/** How the text of one setting is read. `allowed` completes "expected ...". */
export interface Kind<T> {
  readonly allowed: string;
  /** Undefined where the text is not allowed. */
  parse(text: string): T | undefined;
}

const MAX_SAFE_DURATION_MS = 2 ** 31 - 1; // the longest timer that Node takes

const DURATION_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE_BYTES = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;

/** In ms: `100ms`, `10s`, `5m`, `24h`, `7d`. */
export const duration: Kind<number> = {
  allowed: "a duration such as 100ms, 10s, 5m, 24h or 7d, above 0 and at most 24d",
  parse(text) {
    const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
    if (match === null) return undefined;
    const ms = Math.round(Number(match[1]) * DURATION_MS[match[2] as keyof typeof DURATION_MS]);
    return ms > 0 && ms <= MAX_SAFE_DURATION_MS ? ms : undefined;
  },
};

/** In bytes: `4MiB`, `512KiB`, `4194304`. */
export const bytes: Kind<number> = {
  allowed: "a size such as 512KiB, 4MiB or 1GiB, or a whole number of bytes",
  parse(text) {
    const match = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|TiB)?$/.exec(text);
    if (match === null) return undefined;
    const sizeBytes = Number(match[1]) * SIZE_BYTES[(match[2] ?? "B") as keyof typeof SIZE_BYTES];
    return Number.isSafeInteger(sizeBytes) && sizeBytes > 0 ? sizeBytes : undefined;
  },
};

/** A whole number within `[min, max]`. */
export function count(min: number, max: number): Kind<number> {
  return {
    allowed: `a whole number from ${min} to ${max}`,
    parse(text) {
      const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}

/** An odd number within `[1, max]`: an even number of voters bears no more losses than one less. */
export function oddCount(max: number): Kind<number> {
  const whole = count(1, max);
  return {
    allowed: `an odd number from 1 to ${max}`,
    parse(text) {
      const value = whole.parse(text);
      return value !== undefined && value % 2 === 1 ? value : undefined;
    },
  };
}

/** Relative weight of a node: a number above 0. */
export const weight: Kind<number> = {
  allowed: "a number above 0 and at most 1000, such as 1 or 2.5",
  parse(text) {
    const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    return value > 0 && value <= 1_000 ? value : undefined;
  },
};

export const text: Kind<string> = { allowed: "any text", parse: (value) => value };

/** Text that may stand in a table, a label and a log line without being mistaken. */
export const label: Kind<string> = {
  allowed: "up to 63 letters, digits, dots, dashes and underscores, or nothing",
  parse: (value) => (/^[A-Za-z0-9._-]{0,63}$/.test(value) ? value : undefined),
};

export const yesNo: Kind<boolean> = {
  allowed: "true or false",
  parse: (value) => (value === "true" ? true : value === "false" ? false : undefined),
};

export function oneOf<const T extends readonly string[]>(...choices: T): Kind<T[number]> {
  return {
    allowed: `one of ${choices.join(", ")}`,
    parse: (value) => choices.find((choice) => choice === value),
  };
}

export interface HostPort {
  /** Without brackets, also for IPv6. */
  readonly host: string;
  readonly port: number;
}

/** `host:port`; an IPv6 address stands in brackets (RFC 3986, section 3.2.2). Port 0 lets the system choose. */
export const hostPort: Kind<HostPort> = {
  allowed: "HOST:PORT such as 127.0.0.1:5000, [::1]:5000 or 0.0.0.0:5000, with a port from 0 to 65535",
  parse(value) {
    const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(value);
    const host = match?.[1] ?? match?.[2];
    const port = Number(match?.[3]);
    return host !== undefined && port <= 65_535 ? { host, port } : undefined;
  },
};

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Values that stand between commas; empty text is no value. */
export function list<T>(item: Kind<T>): Kind<readonly T[]> {
  return {
    allowed: `${item.allowed}; several stand between commas`,
    parse(value) {
      if (value === "") return [];
      const items = value.split(",").map((part) => item.parse(part.trim()));
      return items.some((part) => part === undefined) ? undefined : (items as T[]);
    },
  };
}

const MULTIADDR = /^\/(?:ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\/(\d{1,5})(?:\/p2p\/[1-9A-HJ-NP-Za-km-z]+)?$/;
/** `0.0.0.0`, and `::` in all its spellings. */
const WILDCARD = /^(?:0+(?:\.0+){3}|[0:]*:[0:]*)$/;

/** A multiaddr, or `HOST:PORT` as people write it, that others can dial. */
export const peerAddress: Kind<string> = {
  allowed:
    "an address that the others can dial, such as registry-1.example.com:5100, 10.0.0.1:5100 or /dns4/registry-1/tcp/5100; no wildcard and no port 0",
  parse(value) {
    const match = MULTIADDR.exec(value);
    const { host, port } = (match === null ? hostPort.parse(value) : { host: match[1] ?? "", port: Number(match[2]) }) ?? {};
    if (host === undefined || port === undefined || port < 1 || port > 65_535) return undefined;
    return WILDCARD.test(host) ? undefined : value;
  },
};

/** Where clients are sent; empty text where nobody says. */
export const clientAddress: Kind<string> = {
  allowed: "HOST:PORT that clients can connect to, such as registry-1.example.com:5000 or 10.0.0.1:5000; no wildcard",
  parse(value) {
    if (value === "") return "";
    const at = hostPort.parse(value);
    return at === undefined || at.port === 0 || WILDCARD.test(at.host) ? undefined : value;
  },
};
