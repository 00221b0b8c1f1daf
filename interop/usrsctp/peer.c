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
 * Options are "-name value"; their names are in the table tunables. Without
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
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <usrsctp.h>

enum {
	max_addrs = 8,
	max_jobs = 16,
	max_line = 1024,
	max_message = 16 << 20, /* else the peer could make one message grow for ever */
	first_buffer = 512 << 10,
	burst = 64,   /* messages each way between two looks at the commands */
	tick = 20,    /* ms until a notification without an upcall is seen */
	short_tick = 1, /* ms until room to send is seen */
};

/* What the process would forget with its association, and must not. */
#define FORGOT "MH_USRSCTP_FORGOT" /* the arguments of listen, empty without */
#define MODE "MH_USRSCTP_MODE"

static struct {
	const char *name;
	int (*set)(uint32_t);
	long value; /* -1: as the stack has it */
} tunables[] = {
	{ "rto-min", usrsctp_sysctl_set_sctp_rto_min_default, -1 },
	{ "rto-max", usrsctp_sysctl_set_sctp_rto_max_default, -1 },
	{ "rto-initial", usrsctp_sysctl_set_sctp_rto_initial_default, -1 },
	{ "heartbeat", usrsctp_sysctl_set_sctp_heartbeat_interval_default, -1 },
	{ "path-retrans", usrsctp_sysctl_set_sctp_path_rtx_max_default, -1 },
	{ "assoc-retrans", usrsctp_sysctl_set_sctp_assoc_rtx_max_default, -1 },
	{ "init-retrans", usrsctp_sysctl_set_sctp_init_rtx_max_default, -1 },
	{ "pf-threshold", usrsctp_sysctl_set_sctp_path_pf_threshold, -1 },
	{ "sack-delay", usrsctp_sysctl_set_sctp_delayed_sack_time_default, -1 },
	{ "cookie-life", usrsctp_sysctl_set_sctp_valid_cookie_life_default, -1 },
	{ "streams", usrsctp_sysctl_set_sctp_nr_outgoing_streams_default, -1 },
	{ "in-streams", usrsctp_sysctl_set_sctp_nr_incoming_streams_default, -1 },
	{ "max-chunks", usrsctp_sysctl_set_sctp_max_chunks_on_queue, -1 },
	{ "max-burst", usrsctp_sysctl_set_sctp_max_burst_default, -1 },
	{ "ecn", usrsctp_sysctl_set_sctp_ecn_enable, -1 },
	{ "pr", usrsctp_sysctl_set_sctp_pr_enable, -1 },
	{ "asconf", usrsctp_sysctl_set_sctp_asconf_enable, -1 },
	{ "auth", usrsctp_sysctl_set_sctp_auth_enable, -1 },
	{ "reconfig", usrsctp_sysctl_set_sctp_reconfig_enable, -1 },
	{ "nrsack", usrsctp_sysctl_set_sctp_nrsack_enable, -1 },
	{ "pktdrop", usrsctp_sysctl_set_sctp_pktdrop_enable, -1 },
	{ "sndbuf", usrsctp_sysctl_set_sctp_sendspace, 4 << 20 },
	{ "rcvbuf", usrsctp_sysctl_set_sctp_recvspace, 4 << 20 },
	/* Without, it sends and takes packets with any checksum there. */
	{ "loopback-nocsum", usrsctp_sysctl_set_sctp_no_csum_on_loopback, 0 },
};

enum { ntunables = sizeof tunables / sizeof *tunables };

static long partial_delivery_point = -1;

/* ---- Addresses ---- */

struct addrs {
	union {
		struct sockaddr sa;
		uint8_t octets[max_addrs * sizeof(struct sockaddr_in6)]; /* one behind the other */
	};
	int n;
	bool v6;
};

static socklen_t length(const struct sockaddr *a)
{
	return a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static bool parse_addr(const char *text, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;

	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return true;
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1;
}

/* Reads addresses with commas between them. */
static bool parse_addrs(const char *list, uint16_t port, struct addrs *out)
{
	char text[max_line], *save = NULL;
	struct sockaddr_storage a;
	size_t used = 0;

	memset(out, 0, sizeof *out);
	snprintf(text, sizeof text, "%s", list);
	for (char *s = strtok_r(text, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		if (out->n == max_addrs || !parse_addr(s, port, &a))
			return false;
		memcpy(out->octets + used, &a, length((void *)&a));
		used += length((void *)&a);
		out->v6 |= a.ss_family == AF_INET6;
		out->n++;
	}
	return out->n > 0;
}

static const char *addr_text(const struct sockaddr *a)
{
	static char text[INET6_ADDRSTRLEN];

	if (a->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, text, sizeof text);
	else
		inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, text, sizeof text);
	return text;
}

/* ---- Messages and sums ---- */

static void fill(uint8_t *message, size_t n, uint64_t seed, uint64_t i)
{
	uint64_t x = seed * 0x9E3779B97F4A7C15 + i;

	for (size_t at = 0; at < n; at += 8) {
		x = x * 6364136223846793005 + 1442695040888963407;
		uint64_t word = htole64(x);
		memcpy(message + at, &word, n - at < 8 ? n - at : 8);
	}
}

static struct sum {
	uint64_t messages, octets, chain, set;
} *sums[1 << 16]; /* by stream, made when its first message comes */

static const uint64_t fnv_basis = 0xcbf29ce484222325, fnv_prime = 0x100000001b3;

static void hash(uint64_t *chain, uint64_t *own, const uint8_t *b, size_t n)
{
	uint64_t x = *chain, y = *own;

	for (size_t i = 0; i < n; i++) { /* two at a time cost what one does */
		x = (x ^ b[i]) * fnv_prime;
		y = (y ^ b[i]) * fnv_prime;
	}
	*chain = x;
	*own = y;
}

static void count(uint16_t stream, uint32_t ppid, const uint8_t *message, size_t n)
{
	uint32_t trailer[2] = { htole32((uint32_t)n), htole32(ppid) };
	uint64_t own = fnv_basis;
	struct sum *s = sums[stream];

	if (!s) {
		s = sums[stream] = calloc(1, sizeof *s);
		s->chain = fnv_basis;
	}
	hash(&s->chain, &own, message, n);
	hash(&s->chain, &own, (uint8_t *)trailer, sizeof trailer);
	s->messages++;
	s->octets += n;
	s->set += own;
}

static void print_sums(void)
{
	for (int i = 0; i < 1 << 16; i++)
		if (sums[i])
			printf("@ sum stream=%d messages=%lu octets=%lu chain=%016lx set=%016lx\n", i, sums[i]->messages,
			       sums[i]->octets, sums[i]->chain, sums[i]->set);
	printf("@ ok sums\n");
}

static void clear_sums(void)
{
	for (int i = 0; i < 1 << 16; i++) {
		free(sums[i]);
		sums[i] = NULL;
	}
}

/* ---- The socket and its association ---- */

static int wake = -1;
static struct socket *sock;
static uint16_t port, udp;
static char listening[max_line]; /* the arguments of listen */

static sctp_assoc_t assoc; /* 0: none */
static bool aborting;      /* by our own command */
static bool echoing;
static unsigned long send_failures;

static struct {
	uint8_t *data;
	size_t n, cap;
	bool whole;              /* it waits to be sent back */
	struct sctp_sndinfo back;
} in;

static struct job {
	unsigned stream, streams, ppid, unordered;
	size_t size;
	uint64_t count, seed, next;
} jobs[max_jobs]; /* the first one is being sent */
static int njobs;
static struct {
	uint8_t *data;
	size_t cap;
	bool filled; /* with the next message */
} out;

static void upcall(struct socket *s, void *arg, int flags)
{
	uint64_t one = 1;

	(void)s, (void)arg, (void)flags;
	if (write(wake, &one, sizeof one) < 0) {
		/* Full: then it is awake. */
	}
}

static void log_line(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vprintf(format, list);
	va_end(list);
}

static bool set(int option, const void *value, socklen_t n)
{
	return usrsctp_setsockopt(sock, IPPROTO_SCTP, option, value, n) == 0;
}

/* Starts the stack with the process's UDP port; 0 is native SCTP. */
static const char *start_stack(uint16_t local_udp)
{
	static bool started;

	if (started)
		return local_udp == udp ? NULL : "the UDP port of a process cannot change";
	udp = local_udp;
	usrsctp_init(udp, NULL, log_line);
	for (int i = 0; i < ntunables; i++)
		if (tunables[i].value >= 0 && tunables[i].set((uint32_t)tunables[i].value) < 0)
			return "an option's value is out of range";
	started = true;
	return NULL;
}

/* Makes the socket, once, bound to a port of some or all local addresses. */
static const char *open_socket(uint16_t local_port, const char *from)
{
	static const uint16_t events[] = { SCTP_ASSOC_CHANGE,     SCTP_PEER_ADDR_CHANGE, SCTP_REMOTE_ERROR,
					   SCTP_SEND_FAILED_EVENT, SCTP_SHUTDOWN_EVENT,  SCTP_PARTIAL_DELIVERY_EVENT };
	struct addrs local = { 0 };
	int on = 1;

	if (sock)
		return local_port == port ? NULL : "the SCTP port of a process cannot change";
	if (!parse_addrs(*from ? from : "0.0.0.0", local_port, &local))
		return "from is not a list of addresses";
	sock = usrsctp_socket(local.v6 ? AF_INET6 : AF_INET, SOCK_SEQPACKET, IPPROTO_SCTP, NULL, NULL, 0, NULL);
	if (!sock)
		return strerror(errno);
	usrsctp_set_non_blocking(sock, 1);
	usrsctp_set_upcall(sock, upcall, NULL);
	bool ok = set(SCTP_RECVRCVINFO, &on, sizeof on);
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		struct sctp_event e = { .se_assoc_id = SCTP_FUTURE_ASSOC, .se_type = events[i], .se_on = 1 };
		ok = ok && set(SCTP_EVENT, &e, sizeof e);
	}
	if (partial_delivery_point >= 0) {
		uint32_t point = (uint32_t)partial_delivery_point;
		ok = ok && set(SCTP_PARTIAL_DELIVERY_POINT, &point, sizeof point);
	}
	struct sctp_udpencaps encaps = { .sue_port = htons(udp) };
	encaps.sue_address.ss_family = local.v6 ? AF_INET6 : AF_INET; /* the unspecified address: all peers */
	ok = ok && set(SCTP_REMOTE_UDP_ENCAPS_PORT, &encaps, sizeof encaps);
	if (*from)
		ok = ok && usrsctp_bindx(sock, &local.sa, local.n, SCTP_BINDX_ADD_ADDR) == 0;
	else
		ok = ok && usrsctp_bind(sock, &local.sa, length(&local.sa)) == 0;
	if (!ok) {
		const char *why = strerror(errno);
		usrsctp_close(sock);
		sock = NULL;
		return why;
	}
	port = local_port;
	return NULL;
}

/* Sends with the association's identifier; -1 with EWOULDBLOCK: there is no room. */
static ssize_t send_message(const void *data, size_t n, struct sctp_sndinfo *info)
{
	info->snd_assoc_id = assoc;
	return usrsctp_sendv(sock, data, n, NULL, 0, info, sizeof *info, SCTP_SENDV_SNDINFO, 0);
}

/* Sends the end of an association. usrsctp would have it wait for room like a message, even an ABORT. */
static ssize_t send_end(sctp_assoc_t id, uint16_t flag)
{
	struct sctp_sndinfo info = { .snd_flags = flag, .snd_assoc_id = id };
	uint32_t limit = usrsctp_sysctl_get_sctp_max_chunks_on_queue();

	usrsctp_sysctl_set_sctp_max_chunks_on_queue(UINT32_MAX);
	ssize_t n = usrsctp_sendv(sock, "", 0, NULL, 0, &info, sizeof info, SCTP_SENDV_SNDINFO, 0);
	int why = errno;
	usrsctp_sysctl_set_sctp_max_chunks_on_queue(limit);
	errno = why;
	return n;
}

/* ---- Notifications ---- */

static int supported(int option)
{
	struct sctp_assoc_value v = { .assoc_id = assoc };
	socklen_t n = sizeof v;

	return usrsctp_getsockopt(sock, IPPROTO_SCTP, option, &v, &n) == 0 && v.assoc_value;
}

static void up(const struct sctp_assoc_change *c)
{
	const uint8_t *has = c->sac_info, *end = (const uint8_t *)c + c->sac_length;
	struct sctp_udpencaps encaps = { .sue_assoc_id = assoc };
	struct sockaddr *peer = NULL;
	socklen_t n = sizeof encaps;

	if (usrsctp_getpaddrs(sock, assoc, &peer) > 0) {
		memcpy(&encaps.sue_address, peer, length(peer));
		usrsctp_getsockopt(sock, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &encaps, &n);
		usrsctp_freepaddrs(peer);
	}
	printf("@ up out=%u in=%u udp=%u ecn=%d pr=%d auth=%d asconf=%d reconfig=%d nrsack=%d pktdrop=%d interleaving=%d\n",
	       c->sac_outbound_streams, c->sac_inbound_streams, ntohs(encaps.sue_port), supported(SCTP_ECN_SUPPORTED),
	       supported(SCTP_PR_SUPPORTED), supported(SCTP_AUTH_SUPPORTED), supported(SCTP_ASCONF_SUPPORTED),
	       supported(SCTP_RECONFIG_SUPPORTED), supported(SCTP_NRSACK_SUPPORTED), supported(SCTP_PKTDROP_SUPPORTED),
	       end > has && memchr(has, SCTP_ASSOC_SUPPORTS_INTERLEAVING, end - has) != NULL);
}

static void down(const char *reason)
{
	if (send_failures > 0)
		log_line("# %lu messages or fragments of messages were not sent\n", send_failures);
	send_failures = 0;
	struct sctpstat st;
	usrsctp_get_stat(&st);
	log_line("# of %u DATA chunks %u were repeated, %u of them fast\n", st.sctps_senddata, st.sctps_sendretransdata,
		 st.sctps_sendfastretrans);
	printf("@ down reason=%s\n", reason);
	for (int i = 0; i < njobs; i++)
		printf("@ error send the association ended after %lu of %lu messages\n", jobs[i].next, jobs[i].count);
	njobs = 0;
	assoc = 0;
	aborting = false;
	in.whole = out.filled = false;
	in.n = 0;
}

static void assoc_changed(const struct sctp_assoc_change *c)
{
	bool by_peer = c->sac_length > sizeof *c; /* its ABORT is there */

	if (c->sac_state == SCTP_COMM_UP && assoc && c->sac_assoc_id != assoc) {
		log_line("# a second association is aborted\n");
		send_end(c->sac_assoc_id, SCTP_ABORT);
		return;
	}
	if (c->sac_state == SCTP_COMM_UP) {
		assoc = c->sac_assoc_id;
		clear_sums();
		up(c);
	} else if (c->sac_assoc_id == assoc) {
		switch (c->sac_state) {
		case SCTP_RESTART:
			in.n = 0; /* the rest of a message will not come */
			clear_sums();
			printf("@ restart\n");
			break;
		case SCTP_SHUTDOWN_COMP:
			down("shutdown");
			break;
		case SCTP_COMM_LOST:
			down(by_peer || aborting ? "abort" : "lost");
			break;
		case SCTP_CANT_STR_ASSOC:
			down(aborting ? "abort" : by_peer ? "refused" : "lost");
			break;
		}
	}
}

static void path_changed(const struct sctp_paddr_change *c)
{
	const char *state = NULL;

	switch (c->spc_state) {
	case SCTP_ADDR_AVAILABLE:
	case SCTP_ADDR_CONFIRMED:
		state = "active";
		break;
	case SCTP_ADDR_UNREACHABLE:
		state = "inactive";
		break;
	case SCTP_ADDR_ADDED:
		state = "unconfirmed";
		break;
	case SCTP_ADDR_REMOVED:
		state = "removed";
		break;
	}
	if (state)
		printf("@ addr addr=%s state=%s\n", addr_text((const struct sockaddr *)&c->spc_aaddr), state);
}

static void notified(const union sctp_notification *e)
{
	switch (e->sn_header.sn_type) {
	case SCTP_ASSOC_CHANGE:
		assoc_changed(&e->sn_assoc_change);
		break;
	case SCTP_PEER_ADDR_CHANGE:
		path_changed(&e->sn_paddr_change);
		break;
	case SCTP_REMOTE_ERROR:
		log_line("# the peer reports cause %u\n", ntohs(e->sn_remote_error.sre_error));
		break;
	case SCTP_SEND_FAILED_EVENT:
		send_failures++; /* one for each fragment: too many for a line each */
		break;
	case SCTP_SHUTDOWN_EVENT:
		log_line("# the peer shuts down\n");
		break;
	case SCTP_PARTIAL_DELIVERY_EVENT:
		log_line("# the rest of a message does not come\n");
		in.n = 0;
		break;
	}
}

/* ---- Data ---- */

/* Sends back what was received. False: there is no room yet. */
static bool echo(void)
{
	if (send_message(in.data, in.n, &in.back) < 0) {
		if (errno == EWOULDBLOCK)
			return false;
		log_line("# no echo on stream %u: %s\n", in.back.snd_sid, strerror(errno));
	}
	in.whole = false;
	in.n = 0;
	return true;
}

static void grow_input(void)
{
	if (in.cap == max_message) {
		log_line("# a message of more than %d octets is cut\n", max_message);
		in.n = 0;
		return;
	}
	in.cap = in.cap ? in.cap * 2 : first_buffer;
	in.data = realloc(in.data, in.cap);
}

/* Receives a message, a piece of one, or a notification. False: there is none, or the last one is still to be echoed. */
static bool receive(void)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in6 v6;
	} from;
	struct sctp_rcvinfo info = { 0 };
	socklen_t from_len = sizeof from, info_len = sizeof info;
	unsigned type = 0;
	int flags = 0;

	if (in.whole && !echo())
		return false;
	if (in.n == in.cap)
		grow_input();
	ssize_t n = usrsctp_recvv(sock, in.data + in.n, in.cap - in.n, &from.sa, &from_len, &info, &info_len, &type, &flags);
	if (n <= 0)
		return false;
	if (flags & MSG_NOTIFICATION) {
		union {
			union sctp_notification e;
			uint8_t octets[2048];
		} aligned; /* the piece of a message before it may have any length */
		memset(&aligned, 0, sizeof aligned);
		memcpy(&aligned, in.data + in.n, (size_t)n < sizeof aligned ? (size_t)n : sizeof aligned);
		notified(&aligned.e);
		return true;
	}
	in.n += n;
	if (!(flags & MSG_EOR))
		return true;
	count(info.rcv_sid, ntohl(info.rcv_ppid), in.data, in.n);
	in.whole = echoing;
	in.back = (struct sctp_sndinfo){ .snd_sid = info.rcv_sid,
					 .snd_ppid = info.rcv_ppid,
					 .snd_flags = info.rcv_flags & SCTP_UNORDERED };
	if (!echoing)
		in.n = 0;
	return true;
}

/* Sends one message of the first job. False: there is none, or no room. */
static bool transmit(void)
{
	struct job *j = &jobs[0];

	if (njobs == 0)
		return false;
	if (j->next < j->count) {
		if (!out.filled)
			fill(out.data, j->size, j->seed, j->next);
		out.filled = true;
		struct sctp_sndinfo info = { .snd_sid = (uint16_t)(j->stream + j->next % j->streams),
					     .snd_ppid = htonl(j->ppid),
					     .snd_flags = j->unordered ? SCTP_UNORDERED : 0 };
		if (send_message(out.data, j->size, &info) >= 0) {
			out.filled = false;
			j->next++;
		} else if (errno != EINVAL) {
			return false; /* no room yet, or the association ends: its notification is on the way */
		} else {
			printf("@ error send message %lu on stream %u: %s\n", j->next, info.snd_sid, strerror(errno));
			j->next = j->count + 1;
		}
	}
	if (j->next >= j->count) {
		if (j->next == j->count)
			printf("@ sent count=%lu\n", j->count);
		out.filled = false;
		memmove(&jobs[0], &jobs[1], (size_t)--njobs * sizeof *jobs);
	}
	return true;
}

/* ---- Commands ---- */

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
	if (njobs == max_jobs)
		return "too many at once";
	if (j.streams == 0 || j.size == 0 || j.size > max_message)
		return "streams and size are at least 1, size at most 16 MiB";
	if (out.cap < j.size)
		out.data = realloc(out.data, out.cap = j.size); /* a filled message stays */
	jobs[njobs++] = j;
	return NULL;
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

static void usage(void)
{
	fprintf(stderr, "usage: usrsctp-peer [-partial-delivery-point octets] [-OPTION value]..., of:");
	for (int i = 0; i < ntunables; i++)
		fprintf(stderr, " %s", tunables[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

static void parse_options(char **argv)
{
	for (; *argv; argv += 2) {
		long *value = NULL;
		char *end = NULL;

		if (strcmp(*argv, "-partial-delivery-point") == 0)
			value = &partial_delivery_point;
		for (int i = 0; i < ntunables; i++)
			if (**argv == '-' && strcmp(*argv + 1, tunables[i].name) == 0)
				value = &tunables[i].value;
		if (!value || !argv[1])
			usage();
		*value = strtol(argv[1], &end, 10);
		if (*end || *value < 0)
			usage();
	}
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
	signal(SIGPIPE, SIG_DFL);
	wake = eventfd(0, EFD_NONBLOCK);
	begin();
	for (bool busy = false;;) {
		struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = wake, .events = POLLIN } };
		uint64_t calls;

		int wait = !sock ? -1 : in.whole || njobs > 0 ? short_tick : tick;

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
