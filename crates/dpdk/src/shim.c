/*
 * What Rust cannot call, because DPDK has it as inline functions or as structures of its own choosing; and no more.
 *
 * Packets cross as plain bytes: received ones are shown to a function and freed, those to be sent are copied in. So nobody
 * outside this file knows what an mbuf is.
 */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_version.h>

#define BURST 32

struct fs_port {
    uint16_t id;
    uint16_t rx_queues, tx_queues;
    int probed; /* we made the device, and take it away again */
    struct rte_mempool *pool;
    char driver[32];
};

struct fs_frame {
    const uint8_t *bytes;
    uint32_t len;
};

struct fs_link {
    uint32_t megabits;
    uint8_t up, full_duplex;
};

struct fs_stats {
    uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_missed, rx_errors, tx_errors, rx_no_buffer;
};

typedef void fs_take(void *context, const uint8_t *bytes, uint32_t len, uint8_t more);

const char *fs_version(void) {
    return rte_version();
}

/* 0, or an error number. */
int fs_init(int argc, char **argv) {
    return rte_eal_init(argc, argv) < 0 ? (rte_errno ? rte_errno : EINVAL) : 0;
}

static int find(const char *devargs, uint16_t *id) {
    struct rte_dev_iterator iterator;
    uint16_t port;

    RTE_ETH_FOREACH_MATCHING_DEV(port, devargs, &iterator) {
        rte_eth_iterator_cleanup(&iterator);
        *id = port;
        return 0;
    }
    return -ENODEV;
}

/* Finds or makes the device and says how many queues it has: wanted queues of 0 mean all. */
int fs_open(const char *devargs, uint16_t queues, uint16_t rx_slots, uint16_t tx_slots, uint16_t tx_wanted,
            struct fs_port *port) {
    struct rte_eth_conf conf;
    struct rte_eth_dev_info info;
    char name[RTE_MEMPOOL_NAMESIZE];
    int rc;

    memset(port, 0, sizeof *port);
    if (find(devargs, &port->id) != 0) {
        rc = rte_dev_probe(devargs);
        if (rc < 0)
            return -rc;
        port->probed = 1;
        rc = find(devargs, &port->id);
        if (rc < 0)
            return -rc;
    }
    rc = rte_eth_dev_info_get(port->id, &info);
    if (rc < 0)
        return -rc;
    snprintf(port->driver, sizeof port->driver, "%s", info.driver_name);
    if (queues > info.max_rx_queues)
        return ERANGE;
    port->rx_queues = queues ? queues : 1;
    port->tx_queues = tx_wanted < info.max_tx_queues ? tx_wanted : info.max_tx_queues;
    if (port->tx_queues < 1)
        port->tx_queues = 1;

    memset(&conf, 0, sizeof conf);
    if (port->rx_queues > 1) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf =
            info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
    }
    if (info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
        conf.txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    rc = rte_eth_dev_configure(port->id, port->rx_queues, port->tx_queues, &conf);
    if (rc < 0 && port->tx_queues != port->rx_queues) {
        /* Some want as many the one way as the other. */
        port->tx_queues = port->rx_queues;
        rc = rte_eth_dev_configure(port->id, port->rx_queues, port->tx_queues, &conf);
    }
    if (rc < 0)
        return -rc;
    rc = rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &rx_slots, &tx_slots);
    if (rc < 0)
        return -rc;

    snprintf(name, sizeof name, "fs-%u", port->id);
    port->pool = rte_pktmbuf_pool_create(
        name, port->rx_queues * rx_slots + port->tx_queues * tx_slots + 4 * BURST * (port->rx_queues + port->tx_queues),
        0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, rte_eth_dev_socket_id(port->id));
    if (!port->pool)
        return rte_errno ? rte_errno : ENOMEM;
    for (uint16_t q = 0; q < port->rx_queues; q++) {
        rc = rte_eth_rx_queue_setup(port->id, q, rx_slots, SOCKET_ID_ANY, NULL, port->pool);
        if (rc < 0)
            return -rc;
    }
    for (uint16_t q = 0; q < port->tx_queues; q++) {
        rc = rte_eth_tx_queue_setup(port->id, q, tx_slots, SOCKET_ID_ANY, NULL);
        if (rc < 0)
            return -rc;
    }
    rc = rte_eth_dev_start(port->id);
    if (rc < 0)
        return -rc;
    rte_eth_promiscuous_enable(port->id); /* a device that cannot has nothing to hide */
    return 0;
}

void fs_close(struct fs_port *port) {
    struct rte_eth_dev_info info;
    struct rte_device *device = NULL;

    if (rte_eth_dev_info_get(port->id, &info) == 0)
        device = info.device;
    rte_eth_dev_stop(port->id);
    rte_eth_dev_close(port->id);
    if (port->probed && device)
        rte_dev_remove(device);
    rte_mempool_free(port->pool);
}

/* Shows each piece of what has come, at most `max` packets, and frees it. */
uint16_t fs_recv(const struct fs_port *port, uint16_t queue, uint16_t max, fs_take *take, void *context) {
    struct rte_mbuf *packets[BURST];
    uint16_t count = rte_eth_rx_burst(port->id, queue, packets, max < BURST ? max : BURST);

    for (uint16_t i = 0; i < count; i++) {
        for (const struct rte_mbuf *m = packets[i]; m; m = m->next)
            take(context, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, m->next != NULL);
        rte_pktmbuf_free(packets[i]);
    }
    return count;
}

static struct rte_mbuf *copy(struct rte_mempool *pool, const struct fs_frame *frame) {
    struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *tail = head;
    uint32_t at = 0;

    while (tail) {
        uint32_t room = rte_pktmbuf_tailroom(tail), left = frame->len - at;
        uint16_t len = left < room ? left : room;

        memcpy(rte_pktmbuf_append(tail, len), frame->bytes + at, len);
        at += len;
        if (at == frame->len)
            return head;
        struct rte_mbuf *next = rte_pktmbuf_alloc(pool);
        if (!next || rte_pktmbuf_chain(head, next) != 0) {
            rte_pktmbuf_free(next);
            break;
        }
        tail = next;
        /* Room is counted in the last piece; the whole length is the head's. */
    }
    rte_pktmbuf_free(head);
    return NULL;
}

/* Sends copies of at most BURST packets, and says of how many the device took charge. */
uint16_t fs_send(const struct fs_port *port, uint16_t queue, const struct fs_frame *frames, uint16_t count) {
    struct rte_mbuf *packets[BURST];
    uint16_t made = 0, sent = 0;

    while (made < count && made < BURST && (packets[made] = copy(port->pool, &frames[made])) != NULL)
        made++;
    for (int patience = 0; sent < made && patience < 8; patience++)
        sent += rte_eth_tx_burst(port->id, queue, packets + sent, made - sent);
    for (uint16_t i = sent; i < made; i++)
        rte_pktmbuf_free(packets[i]);
    return sent;
}

int fs_mac(const struct fs_port *port, uint8_t mac[6]) {
    struct rte_ether_addr address;
    int rc = rte_eth_macaddr_get(port->id, &address);

    memcpy(mac, address.addr_bytes, 6);
    return -rc;
}

int fs_set_mac(const struct fs_port *port, const uint8_t mac[6]) {
    struct rte_ether_addr address;

    memcpy(address.addr_bytes, mac, 6);
    return -rte_eth_dev_default_mac_addr_set(port->id, &address);
}

int fs_mtu(const struct fs_port *port, uint16_t *mtu) {
    return -rte_eth_dev_get_mtu(port->id, mtu);
}

/* Most devices want to be still for this. */
int fs_set_mtu(const struct fs_port *port, uint16_t mtu) {
    int rc;

    rte_eth_dev_stop(port->id);
    rc = rte_eth_dev_set_mtu(port->id, mtu);
    int started = rte_eth_dev_start(port->id);
    return -(rc < 0 ? rc : started);
}

int fs_set_up(const struct fs_port *port, uint8_t up) {
    return -(up ? rte_eth_dev_set_link_up(port->id) : rte_eth_dev_set_link_down(port->id));
}

int fs_link(const struct fs_port *port, struct fs_link *link) {
    struct rte_eth_link now;
    int rc = rte_eth_link_get_nowait(port->id, &now);

    if (rc < 0)
        return -rc;
    link->megabits = now.link_speed;
    link->up = now.link_status == RTE_ETH_LINK_UP;
    link->full_duplex = now.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
    return 0;
}

int fs_stats(const struct fs_port *port, struct fs_stats *stats) {
    struct rte_eth_stats now;
    int rc = rte_eth_stats_get(port->id, &now);

    if (rc < 0)
        return -rc;
    stats->rx_packets = now.ipackets;
    stats->tx_packets = now.opackets;
    stats->rx_bytes = now.ibytes;
    stats->tx_bytes = now.obytes;
    stats->rx_missed = now.imissed;
    stats->rx_errors = now.ierrors;
    stats->tx_errors = now.oerrors;
    stats->rx_no_buffer = now.rx_nombuf;
    return 0;
}
