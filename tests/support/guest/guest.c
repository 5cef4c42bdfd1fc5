/*
 * tiny guest, main part. Own work. 32-bit freestanding C, no paging.
 * A serial (8250) or virtio-console shell with a handful of line commands, a 20 Hz timer, and small
 * polled drivers for virtio balloon (with the statistics queue), block and net, legacy and modern PCI.
 * On a virtio serial bus, port 1 is joined to the second serial line: what talks there talks for the guest.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

static inline void outb(u16 p, u8 v) { asm volatile("outb %0,%1" :: "a"(v), "Nd"(p)); }
static inline void outw(u16 p, u16 v) { asm volatile("outw %0,%1" :: "a"(v), "Nd"(p)); }
static inline void outl(u16 p, u32 v) { asm volatile("outl %0,%1" :: "a"(v), "Nd"(p)); }
static inline u8 inb(u16 p) { u8 v; asm volatile("inb %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline u16 inw(u16 p) { u16 v; asm volatile("inw %1,%0" : "=a"(v) : "Nd"(p)); return v; }
static inline u32 inl(u16 p) { u32 v; asm volatile("inl %1,%0" : "=a"(v) : "Nd"(p)); return v; }
#define barrier() asm volatile("lock; addl $0,(%%esp)" ::: "memory", "cc")

void *memset(void *d, int c, u32 n) { u8 *p = d; while (n--) *p++ = c; return d; }
void *memcpy(void *d, const void *s, u32 n) { u8 *p = d; const u8 *q = s; while (n--) *p++ = *q++; return d; }

extern u32 hdr_ramdisk_image, hdr_ramdisk_size, hdr_cmd_line_ptr, e820_cnt;
extern u8 stubs[];
struct e820 { u64 addr, size; u32 type; } __attribute__((packed));
extern struct e820 e820_buf[];

static volatile u32 ticks;
static u64 ram_bytes;

/* ---- consoles ---- */
#define COM1 0x3f8
static int have_vcon;
static void vcon_putc(char c);
static void putc(char c)
{
	u32 spin = 100000;
	if (have_vcon) {		/* lkvm sends both to the same terminal: use one only */
		vcon_putc(c);
		return;
	}
	while (!(inb(COM1 + 5) & 0x20) && spin--) ;
	outb(COM1, c);
}
static void puts(const char *s) { while (*s) { if (*s == '\n') putc('\r'); putc(*s++); } }
static void putdec(u64 v)
{
	char b[21]; int i = 20; u32 hi, r; b[20] = 0;
	do {	/* 64-bit / 10 by long division on 32-bit halves, no libgcc */
		u32 lo = (u32)v; hi = v >> 32;
		u32 qh = hi / 10, rem = hi % 10, ql;
		asm("divl %4" : "=a"(ql), "=d"(r) : "a"(lo), "d"(rem), "r"(10));
		v = ((u64)qh << 32) | ql;
		b[--i] = '0' + r;
	} while (v);
	puts(b + i);
}
static void puthex(u32 v, int digits)
{
	while (digits--) putc("0123456789abcdef"[(v >> (digits * 4)) & 15]);
}

/* ---- PCI ---- */
static u32 pci_rd(u32 dev, u32 off) { outl(0xcf8, 0x80000000u | dev << 11 | (off & 0xfc)); return inl(0xcfc); }
static u8 pci_rd8(u32 dev, u32 off) { return pci_rd(dev, off) >> ((off & 3) * 8); }

/* ---- virtio ---- */
struct vring_desc { u64 addr; u32 len; u16 flags, next; };
struct vq { u32 num; volatile struct vring_desc *desc; volatile u16 *avail; volatile u8 *used; u16 last; };
struct vdev {
	int dev, type, modern;
	u16 io;				/* legacy: BAR0 */
	volatile u8 *common, *notify, *cfg; u32 notify_mult;
	struct vq q[6];
};
static struct vdev vdevs[16];
static int nvdev;
static u8 vq_mem[16][12288] __attribute__((aligned(4096)));
static int vq_used;

static u8 vcfg8(struct vdev *v, u32 o) { return v->modern ? v->cfg[o] : inb(v->io + 20 + o); }
static u32 vcfg32(struct vdev *v, u32 o)
{
	return v->modern ? *(volatile u32 *)(v->cfg + o) : inl(v->io + 20 + o);
}
static u8 vstatus(struct vdev *v) { return v->modern ? v->common[20] : inb(v->io + 18); }
static void vset_status(struct vdev *v, u8 s)
{
	if (v->modern) v->common[20] = s; else outb(v->io + 18, s);
}
static volatile u8 *bar_ptr(int dev, int bar) { return (volatile u8 *)(pci_rd(dev, 0x10 + bar * 4) & ~15u); }

static void vprobe(int dev)
{
	struct vdev *v = &vdevs[nvdev];
	u32 id = pci_rd(dev, 0), devid = id >> 16;
	if ((id & 0xffff) != 0x1af4 || nvdev == 16) return;
	v->dev = dev;
	if (devid >= 0x1040 && devid < 0x1080) {
		u8 cap;
		v->modern = 1;
		v->type = devid - 0x1040;
		for (cap = pci_rd8(dev, 0x34); cap; cap = pci_rd8(dev, cap + 1)) {
			volatile u8 *p;
			if (pci_rd8(dev, cap) != 9) continue;
			p = bar_ptr(dev, pci_rd8(dev, cap + 4)) + pci_rd(dev, cap + 8);
			switch (pci_rd8(dev, cap + 3)) {
			case 1: v->common = p; break;
			case 2: v->notify = p; v->notify_mult = pci_rd(dev, cap + 16); break;
			case 4: v->cfg = p; break;
			}
		}
		if (!v->common) return;
	} else if (devid >= 0x1000 && devid < 0x1040) {
		v->type = pci_rd(dev, 0x2c) >> 16;
		if (!(pci_rd(dev, 0x10) & 1)) return;
		v->io = pci_rd(dev, 0x10) & ~3u;
	} else
		return;
	vset_status(v, 0);		/* lkvm fills the config space on reset */
	nvdev++;
}
static struct vdev *vfind(int type, int nth)
{
	for (int i = 0; i < nvdev; i++)
		if (vdevs[i].type == type && nth-- == 0) return &vdevs[i];
	return 0;
}
static int vinit(struct vdev *v, u32 want)
{
	vset_status(v, 0);
	vset_status(v, 1);
	vset_status(v, 3);
	if (v->modern) {
		volatile u32 *c = (volatile u32 *)v->common;
		c[0] = 0; u32 f = c[1];
		c[2] = 0; c[3] = f & want;
		c[2] = 1; c[3] = 1;		/* VIRTIO_F_VERSION_1 */
		vset_status(v, 11);
		return f & want;
	}
	u32 f = inl(v->io);
	outl(v->io + 4, f & want);
	return f & want;
}
static int vq_setup(struct vdev *v, int n)
{
	struct vq *q = &v->q[n];
	u8 *m;
	if (vq_used == 16) return -1;
	m = vq_mem[vq_used++];
	memset(m, 0, 12288);
	if (v->modern) {
		*(volatile u16 *)(v->common + 22) = n;
		q->num = *(volatile u16 *)(v->common + 24);
		if (q->num > 256) { q->num = 256; *(volatile u16 *)(v->common + 24) = 256; }
	} else {
		outw(v->io + 14, n);
		q->num = inw(v->io + 12);
	}
	if (!q->num || q->num > 256) return -1;
	q->desc = (void *)m;
	q->avail = (u16 *)(m + 16 * q->num);
	q->used = (u8 *)((((u32)m + 16 * q->num + 6 + 2 * q->num) + 4095) & ~4095u);
	q->last = 0;
	if (v->modern) {
		volatile u32 *c = (volatile u32 *)(v->common + 32);
		c[0] = (u32)q->desc; c[1] = 0; c[2] = (u32)q->avail; c[3] = 0; c[4] = (u32)q->used; c[5] = 0;
		*(volatile u16 *)(v->common + 28) = 1;
	} else
		outl(v->io + 8, (u32)m >> 12);
	return 0;
}
static void vkick(struct vdev *v, int n)
{
	barrier();
	if (v->modern) {
		u32 off = 0;
		if (v->notify_mult) {
			*(volatile u16 *)(v->common + 22) = n;
			off = *(volatile u16 *)(v->common + 30) * v->notify_mult;
		}
		*(volatile u16 *)(v->notify + off) = n;
	} else
		outw(v->io + 16, n);
}
/* chain of up to three buffers starting at descriptor 0; w is a bit mask of device-writable ones */
static void vput(struct vdev *v, int n, int cnt, void **p, u32 *len, u32 w)
{
	struct vq *q = &v->q[n];
	for (int i = 0; i < cnt; i++) {
		q->desc[i].addr = (u32)p[i];
		q->desc[i].len = len[i];
		q->desc[i].flags = (i + 1 < cnt ? 1 : 0) | (w >> i & 1 ? 2 : 0);
		q->desc[i].next = i + 1;
	}
	q->avail[2 + q->avail[1] % q->num] = 0;
	barrier();
	q->avail[1]++;
	vkick(v, n);
}
static u16 vused(struct vq *q) { barrier(); return *(volatile u16 *)(q->used + 2); }
static u32 vused_len(struct vq *q) { return *(volatile u32 *)(q->used + 4 + 8 * ((u16)(q->last - 1) % q->num) + 4); }
static int vwait(struct vq *q)
{
	u32 end = ticks + 40, spin = 20000;
	while (vused(q) == q->last && spin--) ;
	while (vused(q) == q->last) { if ((int)(ticks - end) > 0) return -1; asm volatile("sti; hlt"); }
	q->last++;
	return 0;
}

/* ---- virtio console ---- */
static struct vdev *vcon;
static char vcon_rx[64], vcon_tx;
static void vcon_post(void) { void *p[1] = { vcon_rx }; u32 l[1] = { sizeof vcon_rx }; vput(vcon, 0, 1, p, l, 1); }
static void vcon_init(void)
{
	if (!(vcon = vfind(3, 0))) return;
	vinit(vcon, 0);
	if (vq_setup(vcon, 0) || vq_setup(vcon, 1)) return;
	vset_status(vcon, 15);
	vcon_post();
	have_vcon = 1;
}
static void vcon_putc(char c)
{
	void *p[1] = { &vcon_tx }; u32 l[1] = { 1 }, spin = 2000000;
	vcon_tx = c;
	vput(vcon, 1, 1, p, l, 0);
	while (vused(&vcon->q[1]) == vcon->q[1].last && spin--) ;
	vcon->q[1].last = vused(&vcon->q[1]);
}

/* ---- virtio serial bus: port 1 is joined to COM2 ---- */
#define COM2 0x2f8
#define PORT 1
enum { DEVICE_READY = 0, DEVICE_ADD = 1, PORT_READY = 3, PORT_OPEN = 6 };
static struct vdev *ser;
static u8 ser_ctl[64], ser_in[1024], ser_out[1024];
static void ser_post(int n, u8 *to, u32 len) { void *p[1] = { to }; u32 l[1] = { len }; vput(ser, n, 1, p, l, 1); }
static void ser_say(u32 port, u16 event, u16 value)
{
	static u8 msg[8];
	void *p[1] = { msg }; u32 l[1] = { 8 };
	memcpy(msg, &port, 4); memcpy(msg + 4, &event, 2); memcpy(msg + 6, &value, 2);
	vput(ser, 3, 1, p, l, 0);
	vwait(&ser->q[3]);
}
static void ser_init(void)
{
	if (!(ser = vfind(3, 0))) return;
	if (!(vinit(ser, 2) & 2)) { ser = 0; return; }	/* one console, and no bus */
	for (int n = 2; n < 6; n++) if (vq_setup(ser, n)) { ser = 0; return; }
	vset_status(ser, 15);
	ser_post(2, ser_ctl, sizeof ser_ctl);
	ser_post(4, ser_in, sizeof ser_in);
	ser_say(0xffffffffu, DEVICE_READY, 1);
}
static int ser_poll(void)
{
	static u32 sending;
	u32 n = 0;
	if (!ser) return 0;
	if (vused(&ser->q[2]) != ser->q[2].last) {
		u32 port; u16 event;
		ser->q[2].last++;
		memcpy(&port, ser_ctl, 4); memcpy(&event, ser_ctl + 4, 2);
		ser_post(2, ser_ctl, sizeof ser_ctl);
		if (event == DEVICE_ADD) ser_say(port, PORT_READY, 1);
		return 1;
	}
	if (vused(&ser->q[4]) != ser->q[4].last) {
		ser->q[4].last++;
		n = vused_len(&ser->q[4]);
		for (u32 i = 0; i < n && i < sizeof ser_in; i++) {
			u32 spin = 1000000;
			while (!(inb(COM2 + 5) & 0x20) && spin--) ;
			outb(COM2, ser_in[i]);
		}
		ser_post(4, ser_in, sizeof ser_in);
		return 1;
	}
	if (sending && vused(&ser->q[5]) == ser->q[5].last) return 0;
	if (sending) { ser->q[5].last++; sending = 0; }
	if (inb(COM2 + 5) == 0xff) return 0;		/* no such line */
	while (n < sizeof ser_out && inb(COM2 + 5) & 1) ser_out[n++] = inb(COM2);
	if (n) {
		void *p[1] = { ser_out }; u32 l[1] = { n };
		vput(ser, 5, 1, p, l, 0);
		sending = 1;
	}
	return n != 0;
}

/* ---- virtio balloon ---- */
static struct vdev *bln;
static u32 bln_pages, bln_pfn[256], bln_stat_on;
static u8 bln_stats[8 * 10];
static int stat_n;
static void stat_add(u16 tag, u64 val)
{
	memcpy(bln_stats + stat_n * 10, &tag, 2);
	memcpy(bln_stats + stat_n * 10 + 2, &val, 8);
	stat_n++;
}
static void bln_fill(void)
{
	u64 held = (u64)bln_pages << 12;
	stat_n = 0;
	stat_add(0, 0);					/* swap in */
	stat_add(1, 0);					/* swap out */
	stat_add(2, 3);					/* major faults */
	stat_add(3, ticks);				/* minor faults: changes all the time */
	stat_add(4, ram_bytes - held - (8 << 20));	/* free */
	stat_add(5, ram_bytes - held);			/* total */
	stat_add(6, ram_bytes - held - (4 << 20));	/* available */
	stat_add(7, 1 << 20);				/* caches */
}
static void bln_post(void)
{
	void *p[1] = { bln_stats }; u32 l[1];
	bln_fill();
	l[0] = stat_n * 10;
	vput(bln, 2, 1, p, l, 0);
}
static void bln_init(void)
{
	if (!(bln = vfind(5, 0))) return;
	bln_stat_on = vinit(bln, 2) & 2;
	vq_setup(bln, 0);
	vq_setup(bln, 1);
	if (bln_stat_on && vq_setup(bln, 2)) bln_stat_on = 0;
	vset_status(bln, 15);
	if (bln_stat_on) bln_post();
}
static void bln_poll(void)
{
	u32 want, base = 16u << 8;			/* page frames from 16 MiB up */
	if (!bln) return;
	want = vcfg32(bln, 0);
	while (bln_pages != want) {
		int inflate = bln_pages < want;
		u32 n = inflate ? want - bln_pages : bln_pages - want, i;
		struct vq *q = &bln->q[inflate ? 0 : 1];
		void *p[1] = { bln_pfn }; u32 l[1];
		if (n > 256) n = 256;
		for (i = 0; i < n; i++) bln_pfn[i] = base + (inflate ? bln_pages + i : bln_pages - 1 - i);
		if (inflate && ((u64)(base + bln_pages + n) << 12) > ram_bytes - (4 << 20)) break;
		l[0] = n * 4;
		vput(bln, inflate ? 0 : 1, 1, p, l, 0);
		if (vwait(q)) break;
		bln_pages += inflate ? n : -n;
		if (bln->modern) *(volatile u32 *)(bln->cfg + 4) = bln_pages; else outl(bln->io + 24, bln_pages);
	}
	if (bln_stat_on && vused(&bln->q[2]) != bln->q[2].last) { bln->q[2].last++; bln_post(); }
}

/* ---- virtio block / net, one shot ---- */
static u8 sector[512];
static void disk_io(int nth, u32 write, u32 lba)
{
	static u32 hdr[4]; static u8 st;
	struct vdev *v = vfind(2, nth);
	void *p[3] = { hdr, sector, &st }; u32 l[3] = { 16, 512, 1 };
	if (!v) { puts("no such disk\n"); return; }
	if (!(vstatus(v) & 4)) { vinit(v, 0); if (vq_setup(v, 0)) { puts("queue?\n"); return; } vset_status(v, 15); }
	hdr[0] = write; hdr[1] = 0; hdr[2] = lba; hdr[3] = 0; st = 0xff;
	vput(v, 0, 3, p, l, write ? 4 : 6);
	if (vwait(&v->q[0])) { puts("disk timeout\n"); return; }
	puts("disk "); putdec(nth); puts(write ? " write" : " read"); puts(" status "); putdec(st); puts(" data ");
	for (int i = 0; i < 16; i++) putc(sector[i] >= 32 && sector[i] < 127 ? sector[i] : '.');
	puts("\n");
}
static u8 frame[12 + 60];
static void net_send(int nth)
{
	struct vdev *v = vfind(1, nth);
	u32 h;
	void *p[1] = { frame }; u32 l[1];
	if (!v) { puts("no such nic\n"); return; }
	if (!(vstatus(v) & 4)) {
		vinit(v, 1 << 5);
		if (vq_setup(v, 0) || vq_setup(v, 1)) { puts("queue?\n"); return; }
		vset_status(v, 15);
	}
	h = v->modern ? 12 : 10;
	memset(frame, 0, sizeof frame);
	memset(frame + h, 0xff, 6);
	for (int i = 0; i < 6; i++) frame[h + 6 + i] = frame[h + 22 + i] = vcfg8(v, i);
	memcpy(frame + h + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01", 10);	/* ARP request */
	memcpy(frame + h + 28, "\xc0\xa8\x21\x0f", 4);
	memcpy(frame + h + 38, "\xc0\xa8\x21\x01", 4);
	l[0] = h + 60;
	vput(v, 1, 1, p, l, 0);
	puts(vwait(&v->q[1]) ? "net timeout\n" : "net sent\n");
}

/* ---- interrupts ---- */
static u8 idt[48 * 8];
struct idtr { u16 lim; u32 base; } __attribute__((packed));
void load_idt(struct idtr *);
void interrupt(u32 *f)
{
	u32 n = f[8];
	if (n < 32) {
		puts("\nEXCEPTION "); putdec(n); puts(" eip "); puthex(f[10], 8); puts("\n");
		for (;;) asm volatile("cli; hlt");
	}
	if (n == 32) ticks++;
	if (n >= 40) outb(0xa0, 0x20);
	outb(0x20, 0x20);
}
static void irq_init(void)
{
	struct idtr d = { sizeof idt - 1, (u32)idt };
	for (int i = 0; i < 48; i++) {
		u32 a = (u32)stubs + i * 16;
		u16 *e = (u16 *)(idt + i * 8);
		e[0] = a; e[1] = 8; e[2] = 0x8e00; e[3] = a >> 16;
	}
	load_idt(&d);
	outb(0x20, 0x11); outb(0x21, 32); outb(0x21, 4); outb(0x21, 1);
	outb(0xa0, 0x11); outb(0xa1, 40); outb(0xa1, 2); outb(0xa1, 1);
	outb(0x21, 0xee); outb(0xa1, 0xff);		/* only IRQ 0 and IRQ 4 */
	outb(0x43, 0x34); outb(0x40, 59659 & 255); outb(0x40, 59659 >> 8);	/* 20 Hz */
	outb(COM1 + 1, 0); outb(COM1 + 3, 3); outb(COM1 + 4, 0x0b); outb(COM1 + 1, 1);
}

/* ---- power button: ACPI's fixed event registers, where QEMU's firmware puts them ---- */
#define PM1_STATUS 0x600
#define PM1_ENABLE 0x602
#define PM1_CONTROL 0x604
#define POWER_BUTTON 0x100
static u32 have_button;
static void power_off(void) { outw(PM1_CONTROL, 0x2000); }
static void button_init(void)
{
	outw(PM1_ENABLE, POWER_BUTTON);			/* lkvm has no such register: it reads as ones */
	have_button = inw(PM1_ENABLE) == POWER_BUTTON;
}
static void button_poll(void)
{
	if (have_button && inw(PM1_STATUS) & POWER_BUTTON) { puts("power button\n"); power_off(); }
}

/* ---- shell ---- */
static int starts(const char *s, const char *w) { while (*w) if (*s++ != *w++) return 0; return *s == 0 || *s == ' '; }
static u32 num(const char **s)
{
	u32 v = 0;
	while (**s && **s != ' ') (*s)++;
	while (**s == ' ') (*s)++;
	while (**s >= '0' && **s <= '9') v = v * 10 + *(*s)++ - '0';
	return v;
}
static void devs(void)
{
	for (int i = 0; i < nvdev; i++) {
		struct vdev *v = &vdevs[i];
		puts("dev "); putdec(v->dev); puts(v->modern ? " modern type " : " legacy type "); putdec(v->type);
		if (v->type == 1) { puts(" net mac "); for (int k = 0; k < 6; k++) { if (k) putc(':'); puthex(vcfg8(v, k), 2); } }
		if (v->type == 2) { puts(" blk sectors "); putdec(vcfg32(v, 0)); }
		if (v->type == 3) puts(" console");
		if (v->type == 4) puts(" rng");
		if (v->type == 5) { puts(" balloon pages "); putdec(vcfg32(v, 0)); }
		if (v->type == 9) { puts(" 9p tag "); u32 n = vcfg8(v, 0); for (u32 k = 0; k < n; k++) putc(vcfg8(v, 2 + k)); }
		if (v->type == 19) { puts(" vsock cid "); putdec(vcfg32(v, 0)); }
		puts("\n");
	}
}
static void command(const char *s)
{
	if (starts(s, "ping")) puts("pong\n");
	else if (starts(s, "ticks")) { puts("ticks "); putdec(ticks); puts("\n"); }
	else if (starts(s, "mem")) { puts("mem "); putdec(ram_bytes); puts("\n"); }
	else if (starts(s, "cmdline")) { puts("cmdline "); puts(hdr_cmd_line_ptr ? (char *)hdr_cmd_line_ptr : ""); puts("\n"); }
	else if (starts(s, "initrd")) {
		puts("initrd "); putdec(hdr_ramdisk_size); puts(" ");
		for (u32 i = 0; i < 16 && i < hdr_ramdisk_size; i++) {
			u8 c = ((u8 *)hdr_ramdisk_image)[i]; putc(c >= 32 && c < 127 ? c : '.');
		}
		puts("\n");
	}
	else if (starts(s, "devs")) devs();
	else if (starts(s, "balloon")) { puts("balloon pages "); putdec(bln_pages); puts("\n"); }
	else if (starts(s, "read")) { u32 d = num(&s), l = num(&s); disk_io(d, 0, l); }
	else if (starts(s, "write")) { u32 d = num(&s), l = num(&s); memset(sector, 'W', 512); disk_io(d, 1, l); }
	else if (starts(s, "net")) net_send(num(&s));
	else if (starts(s, "port")) { u32 on = num(&s); if (ser) ser_say(PORT, PORT_OPEN, on); puts(on ? "opened\n" : "closed\n"); }
	else if (starts(s, "spin")) { puts("spinning\n"); while (!(inb(COM1 + 5) & 1)) ; puts("spun\n"); }
	else if (starts(s, "touch")) {
		u32 mb = num(&s);
		for (u32 a = 16 << 20; a < (16 + mb) << 20 && a < ram_bytes; a += 4096) *(volatile u32 *)a = a;
		puts("touched "); putdec(mb); puts("\n");
	}
	else if (starts(s, "reset")) { puts("resetting\n"); outb(0x64, 0xfe); }
	else if (starts(s, "acpi-off")) { power_off(); puts("still here\n"); }
	else if (starts(s, "triple")) { struct idtr z = { 0, 0 }; puts("triple\n"); load_idt(&z); asm volatile("int3"); }
	else if (starts(s, "crash")) { puts("crashing\n"); asm volatile("jmp *%0" :: "r"(0xd0001000u)); }
	else if (starts(s, "halt")) { puts("halted\n"); for (;;) asm volatile("cli; hlt"); }
	else if (*s) puts("ping ticks mem cmdline initrd devs balloon read D L|write D L|net N port 0|1 spin touch MB reset triple crash halt\n");
}
static char line[80];
static u32 line_n;
static void rx(char c)
{
	if (c == '\r' || c == '\n') {
		puts("\n"); line[line_n] = 0; line_n = 0; command(line); puts("> ");
	} else if ((c == 8 || c == 127)) {
		if (line_n) { line_n--; puts("\b \b"); }
	} else if (line_n < sizeof line - 1) { line[line_n++] = c; putc(c); }
}

void cmain(void)
{
	for (u32 i = 0; i < e820_cnt && i < 16; i++) if (e820_buf[i].type == 1) ram_bytes += e820_buf[i].size;
	irq_init();
	for (int d = 0; d < 32; d++) vprobe(d);
	asm volatile("sti");
	ser_init();
	if (!ser) vcon_init();
	bln_init();
	button_init();
	puts("\nTINYGUEST READY mem "); putdec(ram_bytes >> 20); puts(" MiB devs "); putdec(nvdev); puts("\n> ");
	for (u32 busy = 0;;) {
		while (inb(COM1 + 5) & 1) rx(inb(COM1));
		if (have_vcon && vused(&vcon->q[0]) != vcon->q[0].last) {
			vcon->q[0].last++;
			u32 n = vused_len(&vcon->q[0]);
			for (u32 i = 0; i < n && i < sizeof vcon_rx; i++) rx(vcon_rx[i]);
			vcon_post();
			busy = 3000;		/* one byte per buffer: poll on while input keeps coming */
		}
		if (ser_poll()) busy = 100000;		/* sixteen bytes at a time: poll on while they come */
		if (busy) { busy--; continue; }
		bln_poll();
		button_poll();
		asm volatile("sti; hlt");
	}
}
