//go:build ignore

/*
 * usrsctp without a network: what does it answer to this packet?
 *
 * Standard input holds SCTP packets, each after its length as two octets in
 * network order. After each packet the program writes what usrsctp sends at
 * once, in the same form, and a length of zero. A length of zero in the input
 * begins anew, with nothing but an endpoint that listens at port 5000; it is
 * answered by a length of zero. The program ends with its input.
 *
 * Checksums are neither read nor written. There is one thread and no clock: no
 * timer of the stack ever fires while a packet may be answered, so that delayed
 * acknowledgements are never seen.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <usrsctp.h>

enum { patience = 2 }; /* seconds for a packet: SIGALRM ends a program that hangs in the library */

static struct socket *listener;
static uintptr_t address; /* of the present endpoint: each has its own */

static void die(const char *what)
{
	fprintf(stderr, "usrsctp-codec: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(const void *packet, size_t n)
{
	uint8_t length[2] = { (uint8_t)(n >> 8), (uint8_t)n };

	if (fwrite(length, 1, sizeof length, stdout) != sizeof length || (n > 0 && fwrite(packet, 1, n, stdout) != n))
		die("write");
}

static int output(void *to, void *packet, size_t n, uint8_t tos, uint8_t set_df)
{
	(void)tos, (void)set_df;
	if ((uintptr_t)to == address) /* else it is the end of an earlier one */
		put(packet, n);
	return 0;
}

static void end(void)
{
	struct linger abortive = { .l_onoff = 1, .l_linger = 0 };
	uintptr_t old = address++;

	if (!listener)
		return;
	usrsctp_setsockopt(listener, SOL_SOCKET, SO_LINGER, &abortive, sizeof abortive);
	usrsctp_close(listener);
	usrsctp_deregister_address((void *)old);
	usrsctp_handle_timers(100); /* what is left of it goes with its last timer */
}

static void begin(void)
{
	end();
	struct sockaddr_conn a = { .sconn_family = AF_CONN, .sconn_port = htons(5000), .sconn_addr = (void *)address };
	usrsctp_register_address(a.sconn_addr);
	listener = usrsctp_socket(AF_CONN, SOCK_SEQPACKET, IPPROTO_SCTP, NULL, NULL, 0, NULL);
	if (!listener)
		die("socket");
	usrsctp_set_non_blocking(listener, 1);
	if (usrsctp_bind(listener, (struct sockaddr *)&a, sizeof a) < 0)
		die("bind");
	if (usrsctp_listen(listener, 1) < 0)
		die("listen");
}

static bool get(void *b, size_t n)
{
	return fread(b, 1, n, stdin) == n;
}

int main(void)
{
	static uint8_t packet[1 << 16];
	uint8_t length[2];

	usrsctp_init_nothreads(0, output, NULL);
	usrsctp_enable_crc32c_offload();
	begin();
	while (get(length, sizeof length)) {
		size_t n = (size_t)length[0] << 8 | length[1];
		if (!get(packet, n))
			die("a packet is cut");
		if (n == 0) {
			begin();
		} else {
			/* A copy of its own size, so that a read beyond it can be seen. */
			uint8_t *copy = malloc(n);
			if (!copy)
				die("memory");
			memcpy(copy, packet, n);
			alarm(patience);
			usrsctp_conninput((void *)address, copy, n, 0);
			alarm(0);
			free(copy);
		}
		put(NULL, 0);
		fflush(stdout);
	}
}
