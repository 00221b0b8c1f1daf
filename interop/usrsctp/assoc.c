//go:build ignore

#include "peer.h"

enum { first_buffer = 512 << 10 };

sctp_assoc_t assoc;
bool aborting;
bool echoing;
static unsigned long send_failures;

static struct {
	uint8_t *data;
	size_t n, cap;
	bool whole; /* it waits to be sent back */
	struct sctp_sndinfo back;
} in;

static struct job jobs[max_jobs]; /* the first one is being sent */
static int njobs;

static struct {
	uint8_t *data;
	size_t cap;
	bool filled; /* with the next message */
} out;

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

/* Takes a job, to be done after those that there are. */
const char *enqueue(struct job j)
{
	if (njobs == max_jobs)
		return "too many at once";
	if (out.cap < j.size)
		out.data = realloc(out.data, out.cap = j.size); /* a filled message stays */
	jobs[njobs++] = j;
	return NULL;
}

/* Reports whether something waits for room to be sent. */
bool waiting(void)
{
	return in.whole || njobs > 0;
}

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
bool receive(void)
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
bool transmit(void)
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
