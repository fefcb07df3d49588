/** What the page shows before, or instead of, the board: plain DOM, because nothing heavy is loaded yet. */
import { translator } from "../ui/i18n";
import "../ui/page.css";
import type { Host, NoHost, PageConfig } from "./widget";

const SILENT_MS = 15_000;

function element(tag: string, text: string, ...children: Node[]): HTMLElement {
  const e = document.createElement(tag);
  e.textContent = text;
  e.append(...children);
  return e;
}

/** The page was opened by itself, or by a client that is not in the list. */
export function showNoHost(root: HTMLElement, host: NoHost, config: PageConfig): void {
  const t = translator(host.language);
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

/** Until the board is there; says so when the client does not answer. */
export function showStarting(root: HTMLElement, host: Host): void {
  const t = translator(host.language);
  document.documentElement.dataset.theme = host.theme;
  const text = element("p", t("status.starting"));
  text.setAttribute("role", "status");
  const main = element("main", "", text);
  main.className = "page";
  root.replaceChildren(main);
  const timer = setTimeout(() => main.append(element("p", t("host.silent.title")), element("p", t("host.silent.text"))), SILENT_MS);
  void host.ready.then(() => clearTimeout(timer));
}
