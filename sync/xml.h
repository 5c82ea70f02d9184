/* SPDX-License-Identifier: MIT */
/*
 * xml: walks a small XML document of a server. Bytes from outside: depth,
 * number of elements and length of texts are bounded, and a document that
 * declares a type (and with it entities) is refused.
 *
 * Names come without their namespace. Text is what stands directly in an
 * element since its beginning or its last child's end, so that an element
 * without children has all of its own.
 *
 * Threads: no state.
 */
#ifndef SYNC_XML_H
#define SYNC_XML_H

#include <stddef.h>

#define XML_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define XML_DEPTH_MAX 16
#define XML_ELEMENTS_MAX 2000000 /* a WebDAV folder of 150,000 objects */
#define XML_TEXT_MAX 8192

/* `depth` of the outermost element is 1. A negative return ends the walk and is its result. */
struct xml_visitor {
	int (*open)(void *context, const char *name, unsigned int depth);
	/* `text` ends with a zero byte; it holds no other. */
	int (*close)(void *context, const char *name, unsigned int depth, const char *text);
};

/**
 * Walk a whole document. Returns 0; -EPROTO when it is none, or too much; -ENOMEM; or what the
 * visitor returned.
 */
int xml_read(const void *data, size_t n, const struct xml_visitor *visitor, void *context);

#endif
