// Filters that people type, such as `layer>=3 & label~"Texas" & influence>0.01`.
//
//   comparison   layer position feature activation influence probability   with  = != < <= > >=
//                token label group name                                     with  ~ (contains) !~ = !=
//                kind                                                       with  = !=   feature error token logit
//   flag         pinned selected
//   words        looked for in label, token and name; quotes keep spaces and the words above: "pinned"
//   together     & (or nothing) before |, ! for not, parentheses
//
// `~` and words do not mind case; `=` does. A quoted text is compared as it is, a bare word with the text without the
// space around it: token=" Dallas", token=Dallas. A node that has no such number (an error's activation) answers no
// comparison of it.
import { KINDS, type Session } from "./session";

/** The session as far as filters read it. */
export type Read = Pick<Session, "nodes" | "get" | "label" | "name" | "token" | "kind">;

export interface Filter {
  matches(node: number): boolean;
  /** What of the session it was compiled from: when one of these changes, compile anew. */
  reads: Set<"notes" | "selected">;
}

export interface Mistake {
  /** Where (from 1), what was expected, what was found. */
  error: string;
}

type Test = (node: number) => boolean;
type Token = { kind: "word" | "text" | "sign" | "end"; text: string; at: number };

const NUMBERS = ["layer", "position", "feature", "activation", "influence", "probability"] as const;
const TEXTS = ["token", "label", "group", "name"] as const;
const FLAGS = ["pinned", "selected"] as const;
const FIELDS: readonly string[] = [...NUMBERS, ...TEXTS, "kind"];
const COMPARES = ["=", "!=", "<", "<=", ">", ">="];
const LIKENS = ["~", "!~", "=", "!="];
const DEPTH = 100;
const LEXEME =
  /\s*(?:(&&|\|\||[<>!=]=|!~|[<>=~!&|()])|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|((?!')[^\s<>=~!&|()"]+))/suy;

class Wrong extends Error {}

/** The filter that a text stands for, or what is wrong with it; an empty text lets everything through. */
export function compile(text: string, session: Read): Filter | Mistake {
  try {
    const parser = new Parser(lex(text), session);
    return { matches: parser.whole(), reads: parser.reads };
  } catch (wrong) {
    if (wrong instanceof Wrong) return { error: wrong.message };
    throw wrong;
  }
}

function fail(at: number, expected: string, got: string): never {
  throw new Wrong(`character ${at + 1}: expected ${expected}, got ${got}`);
}

const shown = (token: Token): string => {
  if (token.kind === "end") return "the end";
  const text = token.text.length > 24 ? `${token.text.slice(0, 24)}…` : token.text;
  return token.kind === "text" ? `"${text}"` : text;
};

const plain = (text: string): string =>
  text.replace(/\\(.)/gsu, (_, character: string) => ({ n: "\n", t: "\t" })[character] ?? character);

function lex(text: string): Token[] {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  LEXEME.lastIndex = 0;
  while (LEXEME.lastIndex < end) {
    const start = LEXEME.lastIndex;
    const found = LEXEME.exec(text);
    if (!found) {
      const at = start + text.slice(start).search(/\S/);
      fail(at, `a closing ${text[at]}`, "the end");
    }
    const [all, sign, double, single, word] = found;
    const at = start + all.search(/\S/);
    if (sign) tokens.push({ kind: "sign", text: { "&&": "&", "||": "|", "==": "=" }[sign] ?? sign, at });
    else if (word) tokens.push({ kind: "word", text: word, at });
    else tokens.push({ kind: "text", text: plain(double ?? single), at });
  }
  tokens.push({ kind: "end", text: "", at: end });
  return tokens;
}

/** either := both {"|" both};  both := one {["&"] one};  one := "!" one | "(" either ")" | comparison | flag | words */
class Parser {
  readonly reads: Filter["reads"] = new Set();
  #place = 0;
  #depth = 0;

  constructor(
    private readonly tokens: Token[],
    private readonly session: Read,
  ) {}

  whole(): Test {
    if (this.#next().kind === "end") return () => true;
    const test = this.#either();
    if (this.#next().kind !== "end") fail(this.#next().at, "& or |", shown(this.#next()));
    return test;
  }

  #next(): Token {
    return this.tokens[this.#place];
  }

  #take(...signs: string[]): Token | undefined {
    return this.#next().kind === "sign" && signs.includes(this.#next().text) ? this.tokens[this.#place++] : undefined;
  }

  #either(): Test {
    const tests = [this.#both()];
    while (this.#take("|")) tests.push(this.#both());
    return tests.length === 1 ? tests[0] : (node) => tests.some((test) => test(node));
  }

  #both(): Test {
    const tests = [this.#one()];
    while (this.#take("&") || this.#next().kind === "word" || this.#next().kind === "text" || this.#opens()) {
      tests.push(this.#one());
    }
    return tests.length === 1 ? tests[0] : (node) => tests.every((test) => test(node));
  }

  #opens(): boolean {
    return this.#next().kind === "sign" && (this.#next().text === "(" || this.#next().text === "!");
  }

  #one(): Test {
    if (++this.#depth > DEPTH) fail(this.#next().at, `at most ${DEPTH} levels`, "more");
    const test = this.#take("!") ? this.#not() : this.#take("(") ? this.#inside() : this.#term();
    this.#depth--;
    return test;
  }

  #not(): Test {
    const test = this.#one();
    return (node) => !test(node);
  }

  #inside(): Test {
    const test = this.#either();
    if (!this.#take(")")) fail(this.#next().at, ") or & or |", shown(this.#next()));
    return test;
  }

  #term(): Test {
    const token = this.#next();
    if (token.kind === "sign" || token.kind === "end")
      fail(token.at, "a comparison such as layer>=3, or words", shown(token));
    this.#place++;
    const field = token.kind === "word" ? token.text.toLowerCase() : "";
    const sign = this.#take(...COMPARES, "~", "!~");
    if (sign) return this.#compare(token, field, sign);
    if (field === "pinned" || field === "selected") return this.#flag(field);
    if (FIELDS.includes(field)) {
      fail(
        this.#next().at,
        `${this.#signs(field).join(" ")} after ${field} (quotes look for the word)`,
        shown(this.#next()),
      );
    }
    return this.#words(token.text);
  }

  #signs(field: string): string[] {
    if (field === "kind") return ["=", "!="];
    return (TEXTS as readonly string[]).includes(field) ? LIKENS : COMPARES;
  }

  #compare(token: Token, field: string, sign: Token): Test {
    if (!FIELDS.includes(field)) {
      if ((FLAGS as readonly string[]).includes(field)) fail(sign.at, `& or | after ${field}`, shown(sign));
      fail(token.at, `one of ${[...FIELDS, ...FLAGS].join(" ")}`, shown(token));
    }
    const signs = this.#signs(field);
    if (!signs.includes(sign.text)) fail(sign.at, `${signs.join(" ")} after ${field}`, shown(sign));
    const value = this.#next();
    this.#place++;
    const negative = sign.text.startsWith("!");
    const test = this.#equal(field, sign.text.replace("!", ""), value);
    return negative ? test(true) : test(false);
  }

  /** The test for a sign without its "!"; with `not`, its opposite for nodes that have the field. */
  #equal(field: string, sign: string, value: Token): (not: boolean) => Test {
    if (field === "kind") {
      const kind = (KINDS as readonly string[]).indexOf(value.text);
      if (kind < 0 || value.kind === "sign") fail(value.at, `one of ${KINDS.join(" ")}`, shown(value));
      const kinds = this.session.nodes.kind;
      return (not) => (node) => (kinds[node] === kind) !== not;
    }
    if ((NUMBERS as readonly string[]).includes(field))
      return this.#number(field as (typeof NUMBERS)[number], sign, value);
    if (value.kind === "sign" || value.kind === "end") fail(value.at, `a text after ${field}`, shown(value));
    return this.#text(field as (typeof TEXTS)[number], sign, value);
  }

  #number(field: (typeof NUMBERS)[number], sign: string, value: Token): (not: boolean) => Test {
    const wanted = value.kind === "word" ? Number(value.text) : Number.NaN;
    if (Number.isNaN(wanted)) fail(value.at, `a number after ${field}`, shown(value));
    const column = this.session.nodes[field];
    const close = column instanceof Float32Array ? Math.fround(wanted) : wanted; // so that 0.1 equals a stored 0.1
    const none = field === "feature" ? -1 : Number.NaN;
    const tests: Record<string, (not: boolean) => Test> = {
      "=": (not) => (node) => column[node] !== none && !Number.isNaN(column[node]) && (column[node] === close) !== not,
      "<": () => (node) => column[node] !== none && column[node] < close,
      "<=": () => (node) => column[node] !== none && column[node] <= close,
      ">": () => (node) => column[node] !== none && column[node] > close,
      ">=": () => (node) => column[node] !== none && column[node] >= close,
    };
    return tests[sign];
  }

  #text(field: (typeof TEXTS)[number], sign: string, value: Token): (not: boolean) => Test {
    const read = this.#reader(field);
    if (sign === "~") {
      const part = value.text.toLowerCase();
      return (not) => (node) => read(node).toLowerCase().includes(part) !== not;
    }
    const given = value.kind === "text" ? read : (node: number) => read(node).trim();
    return (not) => (node) => (given(node) === value.text) !== not;
  }

  #reader(field: (typeof TEXTS)[number]): (node: number) => string {
    const { session } = this;
    if (field === "token") return (node) => session.token(node);
    if (field === "name") return (node) => session.name(node);
    this.reads.add("notes");
    if (field === "label") return (node) => session.label(node);
    const groups = new Map(
      session.get("notes").supernodes.flatMap(([name, nodes]) => nodes.map((node) => [node, name])),
    );
    return (node) => groups.get(node) ?? "";
  }

  #flag(field: (typeof FLAGS)[number]): Test {
    this.reads.add(field === "pinned" ? "notes" : "selected");
    const nodes = new Set(field === "pinned" ? this.session.get("notes").pinned : this.session.get("selected"));
    return (node) => nodes.has(node);
  }

  #words(text: string): Test {
    const part = text.toLowerCase();
    const { session } = this;
    this.reads.add("notes");
    return (node) =>
      [session.label(node), session.token(node), session.name(node)].some((own) => own.toLowerCase().includes(part));
  }
}
