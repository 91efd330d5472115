#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE for this file"
#endif

#include <CLinuxShims.h>

#include <endian.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/udp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(CLinuxShims_mmsghdr) == sizeof(struct mmsghdr), "mmsghdr size");
_Static_assert(offsetof(CLinuxShims_mmsghdr, msg_len) == offsetof(struct mmsghdr, msg_len),
               "mmsghdr layout");
_Static_assert(sizeof(CLinuxShims_epoll_event) == sizeof(struct epoll_event), "epoll_event size");
_Static_assert(offsetof(CLinuxShims_epoll_event, data) == offsetof(struct epoll_event, data),
               "epoll_event layout");
_Static_assert(UDP_SEGMENT == 103 && UDP_GRO == 104, "UDP options");
_Static_assert(IPV6_RECVPKTINFO == 49, "IPV6_RECVPKTINFO");
_Static_assert(IP_MTU_DISCOVER == 10 && IPV6_MTU_DISCOVER == 23, "MTU_DISCOVER");
_Static_assert(IP_PMTUDISC_PROBE == 3 && IPV6_PMTUDISC_PROBE == 3, "PMTUDISC_PROBE");
_Static_assert(SO_SNDBUFFORCE == 32 && SO_RCVBUFFORCE == 33, "buffer options");
_Static_assert(IP_TRANSPARENT == 19 && IPV6_TRANSPARENT == 75, "transparent options");
_Static_assert(IP_BIND_ADDRESS_NO_PORT == 24, "IP_BIND_ADDRESS_NO_PORT");
_Static_assert(IP_RECVORIGDSTADDR == 20 && IP_ORIGDSTADDR == 20, "original destination");
_Static_assert(IPV6_RECVORIGDSTADDR == 74 && IPV6_ORIGDSTADDR == 74, "original destination");
_Static_assert(AF_NETLINK == 16 && sizeof(struct sockaddr_nl) == 12, "sockaddr_nl");
_Static_assert(sizeof(struct nlmsghdr) == 16 && sizeof(struct rtmsg) == 12, "netlink headers");
_Static_assert(sizeof(struct fib_rule_hdr) == 12, "fib_rule_hdr");
_Static_assert(RTM_NEWROUTE == 24 && RTM_DELROUTE == 25 && RTM_GETROUTE == 26, "route messages");
_Static_assert(RTM_NEWRULE == 32 && RTM_DELRULE == 33 && RTM_GETRULE == 34, "rule messages");
_Static_assert(FRA_IIFNAME == 3 && FRA_PRIORITY == 6 && FRA_TABLE == 15, "rule attributes");
_Static_assert(FRA_PROTOCOL == 21 && FRA_IP_PROTO == 22 && FRA_SPORT_RANGE == 23
                   && FRA_DPORT_RANGE == 24,
               "rule attributes");
_Static_assert(RTA_IIF == 3 && RTA_OIF == 4 && RTA_PREFSRC == 7 && RTA_TABLE == 15
                   && RTA_MARK == 16,
               "route attributes");
_Static_assert(RTA_IP_PROTO == 27 && RTA_SPORT == 28 && RTA_DPORT == 29, "route attributes");
_Static_assert(RTNLGRP_LINK == 1 && RTNLGRP_IPV4_ROUTE == 7 && RTNLGRP_IPV4_RULE == 8
                   && RTNLGRP_IPV6_ROUTE == 11 && RTNLGRP_IPV6_RULE == 19
                   && RTNLGRP_IPV4_IFADDR == 5 && RTNLGRP_IPV6_IFADDR == 9,
               "netlink groups");
_Static_assert(EPOLLIN == 1 && EPOLLOUT == 4 && EPOLLERR == 8 && EPOLLHUP == 16, "epoll events");
_Static_assert(EPOLL_CTL_ADD == 1 && EPOLL_CTL_DEL == 2 && EPOLL_CTL_MOD == 3, "epoll operations");
_Static_assert(CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))
                       + CMSG_SPACE(sizeof(struct in_pktinfo))
                   <= CLinuxShims_control_size,
               "room for control messages");
_Static_assert(CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct sockaddr_in))
                       + CMSG_SPACE(sizeof(struct sockaddr_in6))
                   <= CLinuxShims_control_size,
               "room for original destinations");

int CLinuxShims_recvmmsg(int fd, CLinuxShims_mmsghdr *messages, unsigned int count, int flags) {
    return recvmmsg(fd, (struct mmsghdr *)messages, count, flags, NULL);
}

int CLinuxShims_sendmmsg(int fd, CLinuxShims_mmsghdr *messages, unsigned int count, int flags) {
    return sendmmsg(fd, (struct mmsghdr *)messages, count, flags);
}

int CLinuxShims_accept4(int fd, void *address, socklen_t *length) {
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int CLinuxShims_epoll_create(void) {
    return epoll_create1(EPOLL_CLOEXEC);
}

int CLinuxShims_epoll_ctl(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
    struct epoll_event event = {.events = events, .data = {.u64 = data}};
    return epoll_ctl(epoll, operation, fd, &event);
}

int CLinuxShims_epoll_wait(
    int epoll, CLinuxShims_epoll_event *events, int count, int milliseconds) {
    return epoll_wait(epoll, (struct epoll_event *)events, count, milliseconds);
}

int CLinuxShims_epoll_pwait2(
    int epoll, CLinuxShims_epoll_event *events, int count, uint64_t nanoseconds) {
    struct timespec timeout = {
        .tv_sec = (time_t)(nanoseconds / 1000000000),
        .tv_nsec = (long)(nanoseconds % 1000000000),
    };
    return epoll_pwait2(epoll, (struct epoll_event *)events, count,
                        nanoseconds == UINT64_MAX ? NULL : &timeout, NULL);
}

int CLinuxShims_eventfd(void) {
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

int CLinuxShims_signalfd(const int *signals, int count) {
    sigset_t set;
    sigemptyset(&set);
    for (int index = 0; index < count; index += 1) sigaddset(&set, signals[index]);
    int error = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (error != 0) {
        errno = error;
        return -1;
    }
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int CLinuxShims_read_signal(int fd) {
    struct signalfd_siginfo information;
    ssize_t count = read(fd, &information, sizeof(information));
    if (count == (ssize_t)sizeof(information)) return (int)information.ssi_signo;
    return count < 0 && errno != EAGAIN && errno != EINTR ? -1 : 0;
}

int CLinuxShims_set_thread_name(const char *name) {
    return pthread_setname_np(pthread_self(), name);
}

ssize_t CLinuxShims_getrandom(void *buffer, size_t count) {
    return getrandom(buffer, count, 0);
}

static void set_destination(CLinuxShims_control *control, const void *address) {
    uint64_t halves[2];
    memcpy(halves, address, sizeof(halves));
    control->destination_high = be64toh(halves[0]);
    control->destination_low = be64toh(halves[1]);
    control->has_destination = 1;
}

void CLinuxShims_parse_control(const struct msghdr *message, CLinuxShims_control *control) {
    memset(control, 0, sizeof(*control));
    struct msghdr *header = (struct msghdr *)message;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(header); item != NULL;
         item = CMSG_NXTHDR(header, item)) {
        if (item->cmsg_level == IPPROTO_UDP && item->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(item), sizeof(size));
            control->segment_size = size;
        } else if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo information;
            memcpy(&information, CMSG_DATA(item), sizeof(information));
            control->destination_high = 0;
            control->destination_low = 0xFFFF00000000ull | ntohl(information.ipi_addr.s_addr);
            control->interface = (uint32_t)information.ipi_ifindex;
            control->has_destination = 1;
        } else if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo information;
            memcpy(&information, CMSG_DATA(item), sizeof(information));
            set_destination(control, &information.ipi6_addr);
            control->interface = (uint32_t)information.ipi6_ifindex;
        } else if (item->cmsg_level == IPPROTO_IP && item->cmsg_type == IP_ORIGDSTADDR) {
            struct sockaddr_in address;
            memcpy(&address, CMSG_DATA(item), sizeof(address));
            control->destination_high = 0;
            control->destination_low = 0xFFFF00000000ull | ntohl(address.sin_addr.s_addr);
            control->destination_port = ntohs(address.sin_port);
            control->has_destination = 1;
        } else if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_ORIGDSTADDR) {
            struct sockaddr_in6 address;
            memcpy(&address, CMSG_DATA(item), sizeof(address));
            set_destination(control, &address.sin6_addr);
            control->interface = address.sin6_scope_id;
            control->destination_port = ntohs(address.sin6_port);
        }
    }
}

void CLinuxShims_build_control(struct msghdr *message, uint16_t segment_size, int family,
                               uint64_t source_high, uint64_t source_low, uint32_t interface) {
    char *cursor = message->msg_control;
    size_t length = 0;
    if (segment_size != 0) {
        struct cmsghdr *item = (struct cmsghdr *)cursor;
        item->cmsg_level = IPPROTO_UDP;
        item->cmsg_type = UDP_SEGMENT;
        item->cmsg_len = CMSG_LEN(sizeof(segment_size));
        memcpy(CMSG_DATA(item), &segment_size, sizeof(segment_size));
        length += CMSG_SPACE(sizeof(segment_size));
    }
    if (family == AF_INET) {
        struct in_pktinfo information = {
            .ipi_ifindex = 0,
            .ipi_spec_dst = {.s_addr = htonl((uint32_t)source_low)},
        };
        struct cmsghdr *item = (struct cmsghdr *)(cursor + length);
        item->cmsg_level = IPPROTO_IP;
        item->cmsg_type = IP_PKTINFO;
        item->cmsg_len = CMSG_LEN(sizeof(information));
        memcpy(CMSG_DATA(item), &information, sizeof(information));
        length += CMSG_SPACE(sizeof(information));
    } else if (family == AF_INET6) {
        struct in6_pktinfo information = {.ipi6_ifindex = interface};
        uint64_t halves[2] = {htobe64(source_high), htobe64(source_low)};
        memcpy(&information.ipi6_addr, halves, sizeof(halves));
        struct cmsghdr *item = (struct cmsghdr *)(cursor + length);
        item->cmsg_level = IPPROTO_IPV6;
        item->cmsg_type = IPV6_PKTINFO;
        item->cmsg_len = CMSG_LEN(sizeof(information));
        memcpy(CMSG_DATA(item), &information, sizeof(information));
        length += CMSG_SPACE(sizeof(information));
    }
    message->msg_controllen = length;
    if (length == 0) message->msg_control = NULL;
}
