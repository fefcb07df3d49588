/** What a widget page shows before, or instead of, what it is for: plain DOM, because nothing heavy is loaded yet. */
import type { Values } from "../ui/fill";
import type { Host, NoHost, PageConfig } from "./widget";

const SILENT_MS = 15_000;

/** The page's own sentences. */
export type PageMessage = "status.starting" | `host.${"refused" | "missing" | "silent"}.${"title" | "text"}` | "host.missing.step1" | "host.missing.step2";
export type PageWords = (message: PageMessage, values?: Values) => string;

function element(tag: string, text: string, ...children: Node[]): HTMLElement {
  const e = document.createElement(tag);
  e.textContent = text;
  e.append(...children);
  return e;
}

/** The page was opened by itself, or by a client that is not in the list. */
export function showNoHost(root: HTMLElement, host: NoHost, config: PageConfig, t: PageWords): void {
  document.documentElement.dataset.theme = host.theme;
  document.documentElement.lang = host.language;
  const parts = host.reason === "refused"
    ? [element("h1", t("host.refused.title")), element("p", t("host.refused.text", { origin: host.origin }))]
    : [
        element("h1", t("host.missing.title")),
        element("p", t("host.missing.text")),
        element("ol", "", element("li", t("host.missing.step1")), element("li", t("host.missing.step2", { companion: config.companion }))),
      ];
  const main = element("main", "", ...parts);
  main.className = "page";
  root.replaceChildren(main);
}

/** Until more is there; says so when the client does not answer. */
export function showStarting(root: HTMLElement, host: Host, t: PageWords): void {
  document.documentElement.dataset.theme = host.theme;
  const text = element("p", t("status.starting"));
  text.setAttribute("role", "status");
  const main = element("main", "", text);
  main.className = "page";
  root.replaceChildren(main);
  const timer = setTimeout(() => main.append(element("p", t("host.silent.title")), element("p", t("host.silent.text"))), SILENT_MS);
  void host.ready.then(() => clearTimeout(timer));
}
