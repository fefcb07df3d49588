/** What LiveKit itself says about a call: its RoomService, as the development stack's operator. */
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";

const b64 = (v) => Buffer.from(v).toString("base64url");

/** Address of the development stack's LiveKit, as browsers reach it. */
export function liveKitURL({ data }) {
  return /livekit_url: (\S+)/.exec(fs.readFileSync(path.join(data, "lectern.yaml"), "utf8"))[1].replace(/^ws/, "http");
}

/** Participants of a room's call, with their tracks. The call's name is MSC4195's hash. */
export async function participants(stack, roomId) {
  const room = crypto.createHash("sha256").update(JSON.stringify([roomId, "m.call#ROOM"])).digest("base64").replace(/=+$/, "");
  const secret = fs.readFileSync(path.join(stack.data, "livekit", "secret"), "utf8");
  const now = Math.floor(Date.now() / 1000);
  const claims = `${b64(JSON.stringify({ alg: "HS256", typ: "JWT" }))}.${b64(JSON.stringify({ iss: "lectern", nbf: now - 5, exp: now + 60, video: { roomAdmin: true, room } }))}`;
  const token = `${claims}.${crypto.createHmac("sha256", secret).update(claims).digest("base64url")}`;
  const answer = await fetch(`${liveKitURL(stack)}/twirp/livekit.RoomService/ListParticipants`, { method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` }, body: JSON.stringify({ room }) });
  if (!answer.ok) throw new Error(`LiveKit: ${answer.status} ${await answer.text()}`);
  return (await answer.json()).participants ?? [];
}
