//go:build ignore

/* What the files of the peer share; peer.c says what it is. */
#ifndef PEER_H
#define PEER_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <usrsctp.h>

enum {
	max_addrs = 8,
	max_jobs = 16,
	max_line = 1024,
	max_message = 16 << 20, /* else the peer could make one message grow for ever */
};

/* message.c: addresses, the messages that are sent, and the sums of those that came */

struct addrs {
	union {
		struct sockaddr sa;
		uint8_t octets[max_addrs * sizeof(struct sockaddr_in6)]; /* one behind the other */
	};
	int n;
	bool v6;
};

socklen_t length(const struct sockaddr *a);
bool parse_addr(const char *text, uint16_t port, struct sockaddr_storage *out);
bool parse_addrs(const char *list, uint16_t port, struct addrs *out);
const char *addr_text(const struct sockaddr *a);
void fill(uint8_t *message, size_t n, uint64_t seed, uint64_t i);
void count(uint16_t stream, uint32_t ppid, const uint8_t *message, size_t n);
void print_sums(void);
void clear_sums(void);

/* stack.c: options, the stack and its one socket. Functions that return text say what went wrong. */

extern int wake; /* an event descriptor, written to by upcalls */
extern struct socket *sock;
extern uint16_t port, udp;

void parse_options(char **argv);
const char *start_stack(uint16_t local_udp);
const char *open_socket(uint16_t local_port, const char *from);
bool set(int option, const void *value, socklen_t n);
ssize_t send_message(const void *data, size_t n, struct sctp_sndinfo *info);
ssize_t send_end(sctp_assoc_t id, uint16_t flag);
void log_line(const char *format, ...);

/* assoc.c: the one association, and what is under way on it */

extern sctp_assoc_t assoc; /* 0: none */
extern bool aborting;      /* by our own command */
extern bool echoing;

/* What the command "send" asks for. */
struct job {
	unsigned stream, streams, ppid, unordered;
	size_t size;
	uint64_t count, seed, next;
};

const char *enqueue(struct job j);
bool waiting(void);
bool receive(void);
bool transmit(void);

#endif
