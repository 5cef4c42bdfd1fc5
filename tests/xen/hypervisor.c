/* What xenstored asks of a hypervisor, answered from a folder: so it runs where there is none.
 *
 * Preloaded into Debian's xenstored, it takes the place of the functions that lead to the hypervisor. A domain
 * is a file of the folder that XENSTORED_GUESTS names: `N.ring` is the page that it shares with xenstored, and
 * `N.ended` says that it has ended. Whoever wants xenstored to look writes a port's number, four bytes, into
 * the pipe `ports`: 1 for "some domain has ended", 100 + N for "there is something in the ring of N". The
 * control domain is 0, whose port stands in `0.port`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PORT_ENDED = 1, PORT_FIRST = 100, PAGE_BYTES = 4096, FLAG_ENDED = 4, PATH_BYTES = 4096 };

static const char *place(char *path, uint32_t domain, const char *what)
{
    const char *folder = getenv("XENSTORED_GUESTS");
    snprintf(path, PATH_BYTES, "%s/%u.%s", folder ? folder : ".", domain, what);
    return path;
}

static int is_there(uint32_t domain, const char *what)
{
    char path[PATH_BYTES];
    return access(place(path, domain, what), F_OK) == 0;
}

/* What is handed out stands for nothing. */
static int nothing;

void *xc_interface_open(void *a, void *b, unsigned flags) { return &nothing; }
int xc_interface_close(void *xc) { return 0; }

/* A domain's number, a label, then flags of one bit each: dying, crashed, ended, ... */
int xc_domain_getinfo(void *xc, uint32_t first, unsigned most, uint32_t *info)
{
    if (!most || (first && !is_there(first, "ring")))
        return 0;
    info[0] = first;
    info[1] = 0;
    info[2] = is_there(first, "ended") ? FLAG_ENDED : 0;
    info[3] = 0;
    return 1;
}

static int ports = -1;

void *xenevtchn_open(void *log, unsigned flags)
{
    char path[PATH_BYTES];
    const char *folder = getenv("XENSTORED_GUESTS");
    snprintf(path, sizeof path, "%s/ports", folder ? folder : ".");
    ports = open(path, O_RDWR | O_NONBLOCK);
    return ports < 0 ? NULL : &ports;
}

void *xenevtchn_fdopen(void *log, int fd, unsigned flags) { return NULL; }
int xenevtchn_close(void *xce) { return close(ports); }
int xenevtchn_fd(void *xce) { return ports; }
int xenevtchn_bind_virq(void *xce, unsigned virq) { return PORT_ENDED; }
int xenevtchn_bind_interdomain(void *xce, uint32_t domain, uint32_t port) { return PORT_FIRST + domain; }
int xenevtchn_unbind(void *xce, uint32_t port) { return 0; }
int xenevtchn_unmask(void *xce, uint32_t port) { return 0; }
/* A guest of a test's looks by itself. */
int xenevtchn_notify(void *xce, uint32_t port) { return 0; }

int xenevtchn_pending(void *xce)
{
    uint32_t port;
    return read(ports, &port, sizeof port) == sizeof port ? (int)port : -1;
}

void *xengnttab_open(void *log, unsigned flags) { return &nothing; }
int xengnttab_close(void *xgt) { return 0; }
int xengnttab_set_max_grants(void *xgt, uint32_t count) { return 0; }
int xengnttab_unmap(void *xgt, void *start, uint32_t count) { return munmap(start, (size_t)count * PAGE_BYTES); }

void *xengnttab_map_grant_ref(void *xgt, uint32_t domain, uint32_t reference, int prot)
{
    char path[PATH_BYTES];
    int fd = open(place(path, domain, "ring"), O_RDWR);
    if (fd < 0)
        return NULL;
    void *page = mmap(NULL, PAGE_BYTES, prot, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

/* The control domain's own ring and port are had from files of the kernel. */
int open(const char *path, int flags, ...)
{
    static int (*next)(const char *, int, ...);
    char own[PATH_BYTES];
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (!next)
        next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    if (strstr(path, "/xsd_kva"))
        path = place(own, 0, "ring");
    else if (strstr(path, "/xsd_port"))
        path = place(own, 0, "port");
    return next(path, flags, mode);
}
