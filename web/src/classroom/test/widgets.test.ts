import { describe, expect, test } from "vitest";
import { widgetFromEvent, widgetsFromEvents, widgetUrl, type Viewer, type WidgetEvent } from "../widgets";

const event = (over: Partial<WidgetEvent> = {}, content: Record<string, unknown> = {}): WidgetEvent => ({
  type: "im.vector.modular.widgets",
  stateKey: "wb",
  eventId: "$e",
  sender: "@rivera:example.org",
  roomId: "!r:example.org",
  content: { type: "com.educationpub.whiteboard", name: "Board", url: "https://w.example.org/b?u=$matrix_user_id&b=$board", data: { board: "a b&c" }, ...content },
  ...over,
});

const viewer: Viewer = {
  userId: "@amir:example.org",
  displayName: "Amir & Co",
  avatarUrl: "",
  deviceId: "DEV",
  baseUrl: "https://hs.example.org",
  theme: "dark",
  language: "de",
};

function make(content: Record<string, unknown>) {
  const w = widgetFromEvent(event({}, content));
  if (!w) throw new Error("no widget");
  return w;
}

describe("CL5 which state events are widgets", () => {
  test("CL5 an ordinary widget", () => expect(make({})).toMatchObject({ id: "wb", name: "Board", sender: "@rivera:example.org", waitForIframeLoad: true }));
  test("CL5 removed: empty content", () => expect(widgetFromEvent({ ...event(), content: {} })).toBeNull());
  test.each(["javascript:alert(1)", "data:text/html,x", "not a url", "", 7])("CL5 address %s is refused", (url) => expect(widgetFromEvent(event({}, { url }))).toBeNull());
  test("CL5 without a name its host is shown", () => expect(make({ name: " " }).name).toBe("w.example.org"));
  test("AD8 a hostile name is shown without what turns or hides text, and cut", () => {
    expect(make({ name: `\u202e${"x".repeat(10_000)}\u0000` }).name).toBe(`${"x".repeat(99)}…`);
    expect(make({ name: "\u202e\u200b" }).name).toBe("w.example.org");
  });
  test("CL5 waitForIframeLoad false is kept", () => expect(make({ waitForIframeLoad: false }).waitForIframeLoad).toBe(false));
  test("CL5 both event types, the first wins for one id", () => {
    const all = widgetsFromEvents([
      event({ type: "m.widget", stateKey: "wb" }, { name: "Newer" }),
      event({ type: "m.widget", stateKey: "x" }, { name: "Another" }),
      event(),
    ]);
    expect(all.map((w) => [w.id, w.name])).toEqual([["x", "Another"], ["wb", "Board"]]);
  });
});

describe("CL6 the iframe's address", () => {
  const url = (content: Record<string, unknown>, page = "http://127.0.0.1:9/?q=1#frag") => new URL(widgetUrl(make(content), viewer, page));

  test("CL6 variables are filled and percent-encoded", () => {
    const template =
      "https://w.example.org/b?r=$matrix_room_id&u=$matrix_user_id&n=$matrix_display_name&a=$matrix_avatar_url&w=$matrix_widget_id" +
      "&t=$org.matrix.msc2873.client_theme&l=$org.matrix.msc2873.client_language&d=$org.matrix.msc3819.matrix_device_id" +
      "&h=$org.matrix.msc4039.matrix_base_url&c=$org.matrix.msc2873.client_id&b=$board";
    const p = url({ url: template }).searchParams;
    expect(Object.fromEntries(p)).toEqual({
      r: "!r:example.org", u: "@amir:example.org", n: "Amir & Co", a: "", w: "wb", t: "dark", l: "de", d: "DEV",
      h: "https://hs.example.org", c: "com.educationpub.classroom", b: "a b&c", widgetId: "wb", parentUrl: "http://127.0.0.1:9/?q=1",
    });
  });
  test("CL6 unknown variables stay as they are", () => expect(url({ url: "https://w.example.org/?x=$matrix_client_theme" }).searchParams.get("x")).toBe("$matrix_client_theme"));
  test("CL6 widgetId and parentUrl overwrite what the widget says", () => {
    const p = url({ url: "https://w.example.org/?widgetId=evil&parentUrl=https%3A%2F%2Fevil.example" }).searchParams;
    expect(p.getAll("widgetId")).toEqual(["wb"]);
    expect(p.getAll("parentUrl")).toEqual(["http://127.0.0.1:9/?q=1"]);
  });
  test("CL6 data cannot lie about the person", () =>
    expect(url({ url: "https://w.example.org/?u=$matrix_user_id", data: { matrix_user_id: "@other:example.org" } }).searchParams.get("u")).toBe("@amir:example.org"));
});
