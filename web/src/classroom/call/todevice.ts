/** Media keys that come to this device: only those that were encrypted to it. */

interface Message {
  readonly type: string;
}

interface Crypto {
  preprocessToDeviceMessages(events: Message[]): Promise<Message[]>;
}

// Owned by the page's single thread.
const guarded = new WeakSet<object>();

/**
 * Drops to-device messages of these types that arrive in clear. After decryption matrix-js-sdk 37 hands out messages that look the same either way,
 * so that a homeserver could slip in keys of its own; hence before. To be called once per client, and harmless when called again.
 */
export function encryptedOnly(crypto: object, types: ReadonlySet<string>): void {
  if (guarded.has(crypto)) return;
  const c = crypto as Crypto;
  if (typeof c.preprocessToDeviceMessages !== "function") throw new Error("the SDK receives messages in another way than this page knows");
  const receive = c.preprocessToDeviceMessages.bind(c);
  c.preprocessToDeviceMessages = (events) => receive(events.filter((ev) => !types.has(ev.type)));
  guarded.add(crypto);
}
