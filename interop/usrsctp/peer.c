//go:build ignore

/*
 * A foreign peer: usrsctp behind the line protocol that the documentation of
 * package interop describes.
 *
 * One thread does everything: it waits for a command on standard input or for
 * an upcall of usrsctp, which writes to an event descriptor. Nothing blocks:
 * a message for which usrsctp has no room waits here, and while an echo waits
 * nothing more is received, so that the peer's window closes. Memory is bounded
 * by the two socket buffers and one message each way.
 *
 * There is one one-to-many socket, made by the first "listen" or "dial". It has
 * the same SCTP port here as there: so both ends can dial at once, and a dial
 * after "forget" is a restart. A second association beside the first is aborted.
 *
 * "forget" is the honest crash: the program replaces itself (execve), which
 * closes the UDP sockets and takes the association with it, and listens again.
 * Standard input is read octet by octet, so no command is lost on the way.
 *
 * "@ up" has further words: ecn, pr, auth, asconf, reconfig, nrsack and pktdrop
 * are 1 when that extension is in use in the association, and interleaving is 1
 * when I-DATA is; udp is where packets to the peer's first address go. Lines that
 * begin with "# " are for the reader of a log.
 *
 * Options are "-name value"; their names are in the table of stack.c. Without
 * them the stack has its defaults, but for two buffers of 4 MiB, since messages of
 * 256 KiB do not fit into 256 KiB, and for checksums on loopback.
 *
 * What is particular about usrsctp 0.9.5, and shapes this program:
 *   - Its UDP sockets are bound to any address: the kernel's routes choose the
 *     source, whatever address the association means to send from.
 *   - It knows the addresses that there are when it starts, for good.
 *   - One-to-many sockets have upcalls for messages and notifications that come
 *     with packets. What a timer finds (a path or the association is lost) is told
 *     at the next tick of our own, and so is room to send: the upcall for that asks
 *     for a state that only one-to-one sockets have.
 *   - An ABORT of the peer comes with the notification; without one, the
 *     association was lost, or aborted here.
 *   - An ABORT waits for room in the queue of chunks, like a message, unless that
 *     has no limit.
 *   - It does not tell potentially failed paths from active ones.
 */
#include "peer.h"
#include <poll.h>
#include <sys/eventfd.h>

enum {
	burst = 64,	/* messages each way between two looks at the commands */
	tick = 20,	/* ms until a notification without an upcall is seen */
	short_tick = 1, /* ms until room to send is seen */
};

/* What the process would forget with its association, and must not. */
#define FORGOT "MH_USRSCTP_FORGOT" /* the arguments of listen, empty without */
#define MODE "MH_USRSCTP_MODE"

static char listening[max_line]; /* the arguments of listen */

/* The value of key in "key=value key=value", or what it is without. */
static const char *word(const char *args, const char *key, const char *without)
{
	static char values[8][max_line];
	static int next;
	size_t n = strlen(key);

	for (const char *s = args; s; s = strchr(s, ' ') ? strchr(s, ' ') + 1 : NULL)
		if (strncmp(s, key, n) == 0 && s[n] == '=') {
			char *value = values[next++ % 8];
			snprintf(value, max_line, "%.*s", (int)strcspn(s + n + 1, " "), s + n + 1);
			return value;
		}
	return without;
}

static uint64_t number(const char *args, const char *key, const char *without)
{
	return strtoull(word(args, key, without), NULL, 10);
}

static const char *do_listen(const char *args)
{
	const char *why = start_stack((uint16_t)number(args, "udp", "9899"));

	if (!why)
		why = open_socket((uint16_t)number(args, "port", "5000"), word(args, "from", ""));
	if (!why && usrsctp_listen(sock, 1) < 0)
		why = strerror(errno);
	if (!why)
		snprintf(listening, sizeof listening, "%s", args);
	return why;
}

static const char *do_dial(const char *args)
{
	uint16_t to_port = (uint16_t)number(args, "port", "5000");
	struct addrs to;

	if (!parse_addrs(word(args, "to", ""), to_port, &to))
		return "to is not a list of addresses";
	const char *why = start_stack((uint16_t)number(args, "udp", "9899"));
	if (!why)
		why = open_socket(to_port, word(args, "from", ""));
	if (why)
		return why;
	if (assoc && usrsctp_getassocid(sock, &to.sa) != assoc)
		return "there is an association with another peer";
	if (assoc || usrsctp_connectx(sock, &to.sa, to.n, &assoc) == 0 || errno == EALREADY)
		return NULL; /* the peer may have dialled first: one association comes of both */
	return strerror(errno);
}

static const char *do_mode(const char *args)
{
	echoing = strcmp(args, "echo") == 0;
	return echoing || strcmp(args, "sink") == 0 ? NULL : "mode is echo or sink";
}

static const char *do_send(const char *args)
{
	struct job j = {
		.stream = (unsigned)number(args, "stream", "0"),
		.streams = (unsigned)number(args, "streams", "1"),
		.ppid = (unsigned)number(args, "ppid", "0"),
		.unordered = (unsigned)number(args, "unordered", "0"),
		.size = number(args, "size", "1"),
		.count = number(args, "count", "1"),
		.seed = number(args, "seed", "0"),
	};

	if (!assoc)
		return "there is no association";
	if (j.streams == 0 || j.size == 0 || j.size > max_message)
		return "streams and size are at least 1, size at most 16 MiB";
	return enqueue(j);
}

static const char *path_state(const struct sockaddr *a)
{
	struct sctp_paddrinfo info = { .spinfo_assoc_id = assoc };
	socklen_t n = sizeof info;

	memcpy(&info.spinfo_address, a, length(a));
	if (usrsctp_getsockopt(sock, IPPROTO_SCTP, SCTP_GET_PEER_ADDR_INFO, &info, &n) < 0)
		return strerror(errno);
	return info.spinfo_state == SCTP_ACTIVE ? "active" : info.spinfo_state == SCTP_UNCONFIRMED ? "unconfirmed" : "inactive";
}

static const char *do_paths(const char *args)
{
	struct sockaddr *peers = NULL;
	int n = assoc ? usrsctp_getpaddrs(sock, assoc, &peers) : 0;
	const uint8_t *at = (const uint8_t *)peers;

	(void)args;
	for (int i = 0; i < n; i++) {
		const struct sockaddr *a = (const void *)at;
		printf("@ path addr=%s state=%s\n", addr_text(a), path_state(a));
		at += length(a);
	}
	if (n > 0)
		usrsctp_freepaddrs(peers);
	return NULL;
}

static const char *do_primary(const char *args)
{
	struct sctp_setprim p = { .ssp_assoc_id = assoc };

	if (!assoc)
		return "there is no association";
	if (!parse_addr(word(args, "addr", ""), port, &p.ssp_addr))
		return "addr is not an address";
	return set(SCTP_PRIMARY_ADDR, &p, sizeof p) ? NULL : strerror(errno);
}

static const char *do_shutdown(const char *args)
{
	(void)args;
	if (!assoc)
		return "there is no association";
	return send_end(assoc, SCTP_EOF) < 0 ? strerror(errno) : NULL;
}

static const char *do_abort(const char *args)
{
	(void)args;
	if (!assoc)
		return "there is no association";
	aborting = true;
	return send_end(assoc, SCTP_ABORT) < 0 ? strerror(errno) : NULL;
}

static char **arguments;

static const char *do_forget(const char *args)
{
	(void)args;
	setenv(FORGOT, listening, 1);
	setenv(MODE, echoing ? "echo" : "sink", 1);
	fflush(stdout);
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	execv("/proc/self/exe", arguments);
	return strerror(errno);
}

static const char *do_sums(const char *args)
{
	(void)args;
	print_sums();
	return NULL;
}

static const struct {
	const char *name;
	const char *(*run)(const char *args); /* returns what went wrong */
	bool silent;                          /* it answers by itself, or later */
} commands[] = {
	{ "listen", do_listen, false },	    { "dial", do_dial, false },	  { "mode", do_mode, false },
	{ "send", do_send, true },	    { "sums", do_sums, true },	  { "paths", do_paths, false },
	{ "primary", do_primary, false },   { "abort", do_abort, false }, { "forget", do_forget, false },
	{ "shutdown", do_shutdown, false },
};

static void command(char *line)
{
	size_t n = strcspn(line, " ");
	const char *args = line[n] ? line + n + 1 : "";

	line[n] = 0;
	if (strcmp(line, "exit") == 0)
		_exit(0);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(line, commands[i].name) == 0) {
			const char *why = commands[i].run(args);
			if (why)
				printf("@ error %s %s\n", line, why);
			else if (!commands[i].silent)
				printf("@ ok %s\n", line);
			return;
		}
	printf("@ error %s is not a command\n", line);
}

/* Reads one command, octet by octet: what follows must be left for the process after "forget". */
static void read_command(void)
{
	char line[max_line];
	size_t n = 0;

	for (;;) {
		char c;
		if (read(STDIN_FILENO, &c, 1) != 1)
			_exit(0); /* whoever commands is gone */
		if (c == '\n')
			break;
		if (c != '\r' && n < sizeof line - 1)
			line[n++] = c;
	}
	line[n] = 0;
	if (n > 0)
		command(line);
}

/* Says that it takes commands, or, after "forget", goes on where it was. */
static void begin(void)
{
	const char *forgot = getenv(FORGOT);
	const char *why = NULL;

	if (!forgot) {
		printf("@ ready\n");
		return;
	}
	do_mode(getenv(MODE));
	if (*forgot)
		why = do_listen(forgot);
	if (why)
		printf("@ error forget %s\n", why);
	else
		printf("@ ok forget\n");
}

int main(int argc, char **argv)
{
	(void)argc;
	arguments = argv;
	parse_options(argv + 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	wake = eventfd(0, EFD_NONBLOCK);
	begin();
	for (bool busy = false;;) {
		struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = wake, .events = POLLIN } };
		uint64_t calls;

		int wait = !sock ? -1 : waiting() ? short_tick : tick;

		poll(fds, 2, busy ? 0 : wait);
		if (read(wake, &calls, sizeof calls) < 0) {
			/* Nothing has called: it is a command, the tick, or work left over. */
		}
		if (fds[0].revents)
			read_command();
		busy = false;
		for (int i = 0; sock && i < burst; i++) {
			bool moved = receive();
			moved |= transmit();
			busy = moved;
			if (!moved)
				break;
		}
	}
}
