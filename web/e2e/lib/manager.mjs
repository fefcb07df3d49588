/**
 * A page that shows the integration manager as Element does: registers by OpenID, opens it in a frame of 816x606, and answers its messages from what
 * the homeserver says. Requests, answers and order as measured on Element Web 1.12 (its window stands for the client; the homeserver is real).
 */
import http from "node:http";

const FRAME = { width: 816, height: 606 };

/** Serves the client's empty page; gives its origin, which `lectern dev -client` is told. Ends with the process. */
export async function serveClient() {
  const server = http.createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end(`<!doctype html><html lang="en"><title>A client</title><link rel="icon" href="data:,"><body style="margin:0">`));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}

/** Opens it for `person` in a room and answers the frame. `theme`, `room` as the client passes them; `deaf`: the client answers nothing. */
export async function openManager(person, client, { room, name = "Room", theme = "light", deaf = false, visible = room, width = FRAME.width }) {
  const { stack, page, user } = person;
  person.faults.allowed.push(client);
  await page.goto(client);
  await page.evaluate(behave, { lectern: stack.ready.lectern, homeserver: user.homeserver ?? stack.ready.homeserver, token: user.access_token, me: user.user_id, room, name, theme, deaf, visible, width, height: FRAME.height });
  return page.frameLocator("iframe");
}

/** Runs in the page. */
async function behave({ lectern, homeserver, token, me, room, name, theme, deaf, visible, width, height }) {
  const api = async (method, path, body) => {
    const response = await fetch(`${homeserver}/_matrix/client/v3${path}`, { method, headers: { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }) }, ...(body && { body: JSON.stringify(body) }) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  };
  const at = `/rooms/${encodeURIComponent(room)}`;
  const state = async (type, key) => (await api("GET", `${at}/state`)).filter((e) => e.type === type && (key === true || e.state_key === key));
  const power = async () => (await state("m.room.power_levels", ""))[0]?.content ?? {};
  const mine = async () => {
    const [create] = await state("m.room.create", "");
    const levels = await power();
    return Number(create.content.room_version) >= 12 && create.sender === me ? Infinity : (levels.users?.[me] ?? levels.users_default ?? 0);
  };
  const does = {
    read_events: async ({ type, state_key }) => {
      if (!["m.room.power_levels", "m.room.encryption", "m.room.member", "m.room.name", "im.vector.modular.widgets"].includes(type)) throw new Error("Failed to read events");
      return { events: await state(type, state_key) };
    },
    can_send_event: async ({ event_type }) => {
      const levels = await power();
      if ((await mine()) < (levels.events?.[event_type] ?? levels.state_default ?? 50)) throw new Error("You do not have permission to do that in this room.");
      return true;
    },
    membership_state: async ({ user_id }) => (await state("m.room.member", user_id))[0]?.content ?? null,
    invite: async ({ user_id }) => (await api("POST", `${at}/invite`, { user_id }), { success: true }),
    set_bot_power: async ({ user_id, level, ignoreIfGreater }) => {
      const levels = await power();
      if (!ignoreIfGreater || (levels.users?.[user_id] ?? levels.users_default ?? 0) < level) await api("PUT", `${at}/state/m.room.power_levels/`, { ...levels, users: { ...levels.users, [user_id]: level } });
      return { success: true };
    },
    send_event: async ({ type, state_key, content }) => {
      if (type !== "im.vector.modular.widgets") throw new Error("Failed to send event");
      return { room_id: room, ...(await api("PUT", `${at}/state/${type}/${encodeURIComponent(state_key)}`, content)) };
    },
  };
  window.asked = [];
  const frame = document.createElement("iframe");
  window.addEventListener("message", async (e) => {
    if (e.source !== frame.contentWindow || e.origin !== lectern || !e.data?.action || e.data.api || deaf) return;
    const { action, room_id } = e.data;
    window.asked.push(action);
    const answer = (response) => e.source.postMessage({ ...e.data, response }, e.origin);
    if (action === "close_scalar") return void frame.remove();
    if (room_id !== visible) return answer({ error: { message: `Room ${room_id} not visible` } });
    try {
      answer(await does[action](e.data));
    } catch (err) {
      answer({ error: { message: err.message, _error: {} } });
    }
  });
  const openid = await api("POST", `/user/${encodeURIComponent(me)}/openid/request_token`, {});
  const register = async (body) => fetch(`${lectern}/integrations/api/register?v=1.1`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const registered = await register(openid);
  const { scalar_token } = await registered.json();
  const account = await (await fetch(`${lectern}/integrations/api/account?scalar_token=${encodeURIComponent(scalar_token)}&v=1.1`)).json();
  if (account.user_id !== me) throw new Error(`registered as ${account.user_id}`);
  window.scalarToken = scalar_token;
  window.again = (await register(openid)).status; // the same token once more
  Object.assign(frame, { width, height, title: "Integration manager" });
  frame.style.border = "0";
  frame.src = `${lectern}/integrations/?scalar_token=${encodeURIComponent(scalar_token)}&room_id=${encodeURIComponent(room)}&room_name=${encodeURIComponent(name)}&theme=${theme}`;
  document.body.append(frame);
}
