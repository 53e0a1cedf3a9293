export interface Row {
  readonly what: string;
  readonly unit: string;
  /** What stands in the column, by set-up. */
  readonly values: Readonly<Record<string, number | string>>;
  readonly bar: string;
  /** `alone` beside the peer, as a ratio; undefined where there is no peer. */
  readonly ratio?: number;
  readonly note?: string;
}

const digits = (value: number): string => (value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toPrecision(3));

/** A Markdown table of the rows; `columns` are the set-ups, in order. */
export function table(rows: readonly Row[], columns: readonly string[]): string {
  const head = `| what | unit | ${columns.join(" | ")} | ratio | bar |\n|---|---|${columns.map(() => "---:|").join("")}---:|---|`;
  const lines = rows.map((row) => {
    const cells = columns.map((column) => {
      const value = row.values[column];
      return value === undefined ? "" : typeof value === "number" ? digits(value) : value;
    });
    const ratio = row.ratio === undefined ? "" : row.ratio.toFixed(2);
    return `| ${row.what}${row.note === undefined ? "" : ` (${row.note})`} | ${row.unit} | ${cells.join(" | ")} | ${ratio} | ${row.bar} |`;
  });
  return [head, ...lines].join("\n");
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
