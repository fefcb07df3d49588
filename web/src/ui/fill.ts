/** Sentences with places in them. */
export type Values = Readonly<Record<string, string | number>>;

/** Replaces {name} by its value, and {name|one|other} by the form that goes with it. */
export function fill(text: string, values: Values = {}, rules = new Intl.PluralRules("en")): string {
  return text.replace(/\{(\w+)(?:\|([^|}]*)\|([^|}]*))?\}/g, (whole, name: string, one?: string, other?: string) => {
    const value = values[name];
    if (value === undefined) return whole;
    if (one === undefined) return String(value);
    return (rules.select(Number(value)) === "one" ? one : other) ?? whole;
  });
}

/** Sentences in a BCP 47 language, English where there is no catalogue of it. */
export function speaker<M extends string>(catalogues: Readonly<Record<string, Readonly<Record<M, string>>>> & { readonly en: Readonly<Record<M, string>> }, language: string): (message: M, values?: Values) => string {
  const code = language.toLowerCase().split(/[-_]/)[0] ?? "en";
  const catalogue = catalogues[code] ?? catalogues.en;
  const rules = new Intl.PluralRules(catalogue === catalogues.en ? "en" : code);
  return (message, values) => fill(catalogue[message], values, rules);
}
