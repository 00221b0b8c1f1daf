//go:build ignore

#include "peer.h"
#include <endian.h>

socklen_t length(const struct sockaddr *a)
{
	return a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

bool parse_addr(const char *text, uint16_t port, struct sockaddr_storage *out)
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
bool parse_addrs(const char *list, uint16_t port, struct addrs *out)
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

const char *addr_text(const struct sockaddr *a)
{
	static char text[INET6_ADDRSTRLEN];

	if (a->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)a)->sin6_addr, text, sizeof text);
	else
		inet_ntop(AF_INET, &((const struct sockaddr_in *)a)->sin_addr, text, sizeof text);
	return text;
}

void fill(uint8_t *message, size_t n, uint64_t seed, uint64_t i)
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

void count(uint16_t stream, uint32_t ppid, const uint8_t *message, size_t n)
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

void print_sums(void)
{
	for (int i = 0; i < 1 << 16; i++)
		if (sums[i])
			printf("@ sum stream=%d messages=%lu octets=%lu chain=%016lx set=%016lx\n", i, sums[i]->messages,
			       sums[i]->octets, sums[i]->chain, sums[i]->set);
	printf("@ ok sums\n");
}

void clear_sums(void)
{
	for (int i = 0; i < 1 << 16; i++) {
		free(sums[i]);
		sums[i] = NULL;
	}
}
