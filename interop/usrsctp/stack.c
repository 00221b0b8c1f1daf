//go:build ignore

#include "peer.h"
#include <stdarg.h>

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

static void usage(void)
{
	fprintf(stderr, "usage: usrsctp-peer [-partial-delivery-point octets] [-OPTION value]..., of:");
	for (int i = 0; i < ntunables; i++)
		fprintf(stderr, " %s", tunables[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

void parse_options(char **argv)
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

int wake = -1;
struct socket *sock;
uint16_t port, udp;

static void upcall(struct socket *s, void *arg, int flags)
{
	uint64_t one = 1;

	(void)s, (void)arg, (void)flags;
	if (write(wake, &one, sizeof one) < 0) {
		/* Full: then it is awake. */
	}
}

void log_line(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vprintf(format, list);
	va_end(list);
}

bool set(int option, const void *value, socklen_t n)
{
	return usrsctp_setsockopt(sock, IPPROTO_SCTP, option, value, n) == 0;
}

/* Starts the stack with the process's UDP port; 0 is native SCTP. */
const char *start_stack(uint16_t local_udp)
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
const char *open_socket(uint16_t local_port, const char *from)
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
ssize_t send_message(const void *data, size_t n, struct sctp_sndinfo *info)
{
	info->snd_assoc_id = assoc;
	return usrsctp_sendv(sock, data, n, NULL, 0, info, sizeof *info, SCTP_SENDV_SNDINFO, 0);
}

/* Sends the end of an association. usrsctp would have it wait for room like a message, even an ABORT. */
ssize_t send_end(sctp_assoc_t id, uint16_t flag)
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
