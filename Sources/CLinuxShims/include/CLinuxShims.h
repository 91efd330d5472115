#ifndef C_LINUX_SHIMS_H
#define C_LINUX_SHIMS_H

// What Swift cannot reach by itself: GNU extensions, macros with casts, control messages.
// Declarations and layouts only; nothing here takes a decision, allocates or keeps state.
// _GNU_SOURCE must not be defined here, because it clashes with Swift's Glibc module.

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct {
    struct msghdr msg_hdr;
    unsigned int msg_len;
} CLinuxShims_mmsghdr;

// struct epoll_event with its union read as the one member we use.
typedef struct {
    uint32_t events;
    uint64_t data;
}
#if defined(__x86_64__)
__attribute__((packed))
#endif
CLinuxShims_epoll_event;

// What the control messages of one received message say.
typedef struct {
    uint64_t destination_high; // The address it was sent to, as two big-endian halves;
    uint64_t destination_low;  // IPv4 as ::ffff:a.b.c.d.
    uint32_t interface;
    int32_t segment_size; // 0: the message is one datagram (no UDP_GRO message).
    int32_t has_destination;
    uint16_t destination_port; // 0: not said; only transparent sockets learn it.
} CLinuxShims_control;

// Room for every control message this program sends or asks for.
enum { CLinuxShims_control_size = 128 };

static const int CLinuxShims_UDP_SEGMENT = 103;
static const int CLinuxShims_UDP_GRO = 104;
static const int CLinuxShims_IPV6_RECVPKTINFO = 49;
static const int CLinuxShims_IP_MTU_DISCOVER = 10;
static const int CLinuxShims_IPV6_MTU_DISCOVER = 23;
static const int CLinuxShims_PMTUDISC_PROBE = 3;
static const int CLinuxShims_SO_SNDBUFFORCE = 32;
static const int CLinuxShims_SO_RCVBUFFORCE = 33;
static const int CLinuxShims_IP_FREEBIND = 15;
static const int CLinuxShims_IPV6_FREEBIND = 78;
static const int CLinuxShims_IP_TRANSPARENT = 19;
static const int CLinuxShims_IPV6_TRANSPARENT = 75;
static const int CLinuxShims_IP_BIND_ADDRESS_NO_PORT = 24;
static const int CLinuxShims_IP_RECVORIGDSTADDR = 20;
static const int CLinuxShims_IPV6_RECVORIGDSTADDR = 74;

static const uint32_t CLinuxShims_EPOLLIN = 0x001;
static const uint32_t CLinuxShims_EPOLLOUT = 0x004;
static const uint32_t CLinuxShims_EPOLLERR = 0x008;
static const uint32_t CLinuxShims_EPOLLHUP = 0x010;
static const int CLinuxShims_EPOLL_CTL_ADD = 1;
static const int CLinuxShims_EPOLL_CTL_DEL = 2;
static const int CLinuxShims_EPOLL_CTL_MOD = 3;

int CLinuxShims_recvmmsg(int fd, CLinuxShims_mmsghdr *messages, unsigned int count, int flags);
int CLinuxShims_sendmmsg(int fd, CLinuxShims_mmsghdr *messages, unsigned int count, int flags);

// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC.
int CLinuxShims_accept4(int fd, void *address, socklen_t *length);

int CLinuxShims_epoll_create(void);
int CLinuxShims_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t data);
int CLinuxShims_epoll_wait(int epoll, CLinuxShims_epoll_event *events, int count, int milliseconds);
// UINT64_MAX nanoseconds: for ever.
int CLinuxShims_epoll_pwait2(
    int epoll, CLinuxShims_epoll_event *events, int count, uint64_t nanoseconds);

int CLinuxShims_eventfd(void);
// Blocks `count` signals in the calling thread and returns a descriptor that reports them.
int CLinuxShims_signalfd(const int *signals, int count);
// The number of the signal that was read, 0 when there is none, -1 on error.
int CLinuxShims_read_signal(int fd);

int CLinuxShims_set_thread_name(const char *name);
ssize_t CLinuxShims_getrandom(void *buffer, size_t count);

// Walks the control messages of a received message.
void CLinuxShims_parse_control(const struct msghdr *message, CLinuxShims_control *control);

// Writes UDP_SEGMENT (unless segment_size is 0) and, unless family is 0, the address to send
// from into message->msg_control, which has room for CLinuxShims_control_size bytes, and sets
// msg_controllen. `family` is the socket's; halves are as in CLinuxShims_control.
void CLinuxShims_build_control(struct msghdr *message, uint16_t segment_size, int family,
                               uint64_t source_high, uint64_t source_low, uint32_t interface);

#endif
