package phrase

// The sentences. {places} are filled by Say.
const (
	Greeting     Key = "greeting"      // companion
	GreetDirect  Key = "greet.direct"  // companion
	NeedsLevel   Key = "needs.level"   // level, who, companion
	HasLevel     Key = "has.level"     //
	RoomReads    Key = "room.reads"    //
	RoomSilent   Key = "room.silent"   // companion
	HelpRoom     Key = "help.room"     //
	HelpDirect   Key = "help.direct"   //
	TooLong      Key = "too.long"      //
	TooFast      Key = "too.fast"      // n
	Unknown      Key = "unknown"       // word
	UnknownKind  Key = "unknown.kind"  // word
	AddHow       Key = "add.how"       //
	RenameHow    Key = "rename.how"    //
	TitleTooLong Key = "title.long"    // max
	Added        Key = "added"         // name, room
	AddedBelow   Key = "added.below"   // name, room: three are on top already
	AddedAside   Key = "added.aside"   // name, room, level, companion: the layout could not be written
	AddedHidden  Key = "added.hidden"  // name, room: the layout could not be written now
	TooMany      Key = "too.many"      // max, room
	CallsOff     Key = "calls.off"     //
	ListHead     Key = "list.head"     // room
	ListEmpty    Key = "list.empty"    // room
	Renamed      Key = "renamed"       // old, name, room
	Removed      Key = "removed"       // name, room
	Restored     Key = "restored"      // name, room
	NothingGone  Key = "nothing.gone"  // room
	NoSuchGone   Key = "no.such.gone"  // name, list
	NoSuch       Key = "no.such"       // name, room, list
	WhichOne     Key = "which.one"     // list
	OnlyOurs     Key = "only.ours"     // name, room
	NotEntitled  Key = "not.entitled"  // room, level, mine
	AskLevel     Key = "ask.level"     // room, level, who, companion
	HalfWritten  Key = "half.written"  // room
	NoRooms      Key = "no.rooms"      // companion
	NoSuchRoom   Key = "no.such.room"  // name, companion
	WhichRoom    Key = "which.room"    // list
	NoneEntitled Key = "none.entitled" // list
	Gone         Key = "gone"          // room, companion
	Refused      Key = "refused"       // room, companion, level
	Unreachable  Key = "unreachable"   // room
	Failed       Key = "failed"        // room
	Unreadable   Key = "unreadable"    //
	ListenHow    Key = "listen.how"    //
	ListenPlain  Key = "listen.plain"  // room
	ListenOn     Key = "listen.on"     // room
	ListenOff    Key = "listen.off"    // room
	ListenSaid   Key = "listen.said"   // who
	ListenEnded  Key = "listen.ended"  // who
	NotModerator Key = "not.moderator" // room, level, mine
	Followed     Key = "followed"      // list
	SetupLink    Key = "setup.link"    // room, url, minutes
	SetupDirect  Key = "setup.direct"  // companion
	Admins       Key = "admins"        // where nobody can be named
)

var english = map[Key]string{
	Greeting: "Hello! I am {companion}, the Lectern of this room: I put whiteboards into it that everybody here can draw on together, and keep them in the room's state. " +
		"{level}\n{reads}",
	GreetDirect: "Hello! I am {companion}, a Lectern: I put whiteboards into your rooms that everybody there can draw on together. Invite me to your room, then write to me here, for example: " +
		"add whiteboard \"Lesson 3\"\nOr write: help",
	NeedsLevel: "To keep the boards in the room's state, so that they belong to the room and not to a server, I need power level {level}. It can be given to me by {who}, in Element with: /op {companion} {level}",
	HasLevel:   "I have the power level I need for that.",
	RoomReads:  "Talk to me here: !lectern add whiteboard \"Lesson 3\" adds one, !lectern help says what else I can do. Only who may change widgets here can change anything.",
	RoomSilent: "This room is encrypted, and with more than one of you in it I do not read along. To add a board, write to {companion} in a direct message: add whiteboard \"Lesson 3\". Only who may change widgets here can change anything.",
	HelpRoom: "What I understand:\n!lectern add whiteboard \"Lesson 3\"\n!lectern add call\n!lectern list\n!lectern rename \"Lesson 3\" \"Lesson 4\"\n!lectern remove \"Lesson 3\" (what was drawn is kept)\n!lectern restore (puts back what was removed last)\n!lectern listen off (where I was allowed to read: no longer)\n" +
		"Auf Deutsch: !lectern hilfe",
	HelpDirect: "What I understand:\nadd whiteboard \"Lesson 3\"\nadd call\nlist\nrename \"Lesson 3\" \"Lesson 4\"\nremove \"Lesson 3\" (what was drawn is kept)\nrestore (puts back what was removed last)\nsetup (a link to a page where you do all that)\nlisten on (I read commands in an encrypted room; who moderates it can say that, and everybody in it is told)\n" +
		"If we share several rooms, say which: add whiteboard \"Lesson 3\" in \"Class 7b\". A room's address (#class7b:…) or id (!…) will do, too.\nAuf Deutsch: hilfe",
	TooLong:      "This message is too long for me; I read at most 1000 characters. Write help to see what I understand. (Die Nachricht ist zu lang; mit hilfe siehst du, was ich verstehe.)",
	TooFast:      "That was more than {n} commands in a minute. I go on listening to you in a minute.",
	Unknown:      "I do not know the word \"{word}\". Write help to see what I understand. (Auf Deutsch: hilfe)",
	UnknownKind:  "I cannot add \"{word}\". What I can add: whiteboard, call. For example: add whiteboard \"Lesson 3\"",
	AddHow:       "Say what to add, for example: add whiteboard \"Lesson 3\"",
	RenameHow:    "Say the present name and the new one, for example: rename \"Lesson 3\" \"Lesson 4\"",
	TitleTooLong: "That name is too long: at most {max} characters.",
	Added:        "\"{name}\" is in {room} now, above the messages.",
	AddedBelow:   "\"{name}\" is in {room} now. Three widgets are above the messages already, which is all there is room for: you find it in the room's information, under widgets.",
	AddedAside:   "\"{name}\" is in {room} now; you find it in the room's information, under widgets. To show it above the messages I need power level {level} for the layout: /op {companion} {level}",
	AddedHidden:  "\"{name}\" is in {room} now, but I could not show it above the messages. You find it in the room's information, under widgets.",
	TooMany:      "There are {max} boards in {room} already. Remove one first.",
	CallsOff:     "Calls are not set up on this Lectern, so I cannot add one. Whoever runs it can change that; boards work as always.",
	ListHead:     "In {room}:",
	ListEmpty:    "There is no board in {room} yet. Add one: add whiteboard \"Lesson 3\"",
	Renamed:      "\"{old}\" in {room} is called \"{name}\" now.",
	Removed:      "\"{name}\" is no longer in {room}. Whatever was drawn on it is kept; restore puts it back.",
	Restored:     "\"{name}\" is back in {room}, with everything on it.",
	NothingGone:  "Nothing was removed from {room} that I could put back.",
	NoSuchGone:   "No \"{name}\" was removed from {room}. What I can put back:\n{list}",
	NoSuch:       "There is no \"{name}\" in {room}. What is there:\n{list}",
	WhichOne:     "Which one? Say its number:\n{list}",
	NotEntitled:  "To change widgets in {room} you need power level {level}; you have {mine}. Ask somebody who administers the room.",
	AskLevel:     "I may not do that in {room} yet: to put boards there and keep them in the room's state I need power level {level}. It can be given to me by {who}, in Element with: /op {companion} {level}",
	HalfWritten:  "I cannot read the power levels of {room}, so I obey nobody there. Whoever administers the room can write them again: in Element, room settings, roles and permissions.",
	NoRooms:      "We share no room yet. Invite me ({companion}) to your room first.",
	NoSuchRoom:   "I know no room \"{name}\" that we share. If it exists, invite me ({companion}) there.",
	WhichRoom:    "In which room? Say it at the end, as in: add whiteboard \"Lesson 3\" in …\n{list}",
	NoneEntitled: "We share these rooms, but you may not change widgets in any of them; whoever administers them can allow it:\n{list}",
	Gone:         "I am no longer in {room}. Invite me ({companion}) again, then say it once more.",
	Refused:      "The homeserver did not let me do that in {room}. I need power level {level} there: /op {companion} {level}",
	Unreachable:  "The homeserver does not answer just now, so I cannot say whether that took effect in {room}. Look with list, and say it again if it did not.",
	Failed:       "That did not work in {room}, for a reason I do not know; my operator finds it in the log.",
	Unreadable: "I cannot read your message: your app gave its key out before I was allowed to read here. In Element write /discardsession, then say it again. " +
		"(Ich kann deine Nachricht nicht lesen. Schreibe in Element /discardsession und dann noch einmal, was du möchtest.)",
	ListenHow:    "Say listen on, or listen off.",
	ListenPlain:  "{room} is not encrypted: I read commands there anyway, as everybody on the homeserver could.",
	ListenOn:     "From now on I read {room}, and obey what begins with !lectern there. I have told everybody in it. I cannot read what was written before; people whose app has run for a while may have to write /discardsession first. listen off ends it.",
	ListenOff:    "I no longer read {room}, and have thrown away the keys I had of it.",
	ListenSaid:   "{who} lets me read this room from now on, so that you can write commands to me here, such as: !lectern help. I keep none of what you write; whoever moderates here can end it with: !lectern listen off",
	ListenEnded:  "{who} has told me not to read this room any more. I have thrown away the keys I had of it.",
	NotModerator: "Only who moderates {room} can decide that: you need power level {level}; you have {mine}.",
	SetupLink:    "Here you see and change the boards of {room}: {url}\nThe link works once, for {minutes} minutes, and whoever opens it acts in your name: do not pass it on.",
	SetupDirect:  "I give that link in a direct message only, because whoever opens it acts in your name. Write to {companion}: setup",
	Followed:     "This room replaces another one, and its boards have come along with everything that is on them:\n{list}",
	Admins:       "whoever administers this room",
	OnlyOurs:     "\"{name}\" in {room} was changed by hand, so that I do not know it any more. Remove it in your app and add a new one.",
}
