/* SPDX-License-Identifier: MIT */
#include "sync/xml.h"

#include "store/base/bytes.h"

#include <errno.h>
#include <expat.h>
#include <string.h>

#define NAMESPACE_END '|' /* no URI has it unescaped */

struct walk {
	XML_Parser parser;
	const struct xml_visitor *visitor;
	void *context;
	struct byte_buf text;
	unsigned int depth;
	unsigned int n_elements;
	int result;
};

static void walk_done(struct walk *w)
{
	if (w->parser)
		XML_ParserFree(w->parser);
	byte_buf_done(&w->text);
}

static void stop(struct walk *w, int r)
{
	if (w->result == 0)
		w->result = r;
	(void)XML_StopParser(w->parser, XML_FALSE);
}

static const char *local_name(const char *name)
{
	const char *end = strrchr(name, NAMESPACE_END);

	return end ? end + 1 : name;
}

static void XMLCALL on_start(void *context, const char *name, const char **attributes)
{
	struct walk *w = context;
	int r;

	(void)attributes;
	if (w->result != 0)
		return; /* expat may call once more after it was stopped */
	if (++w->depth > XML_DEPTH_MAX || ++w->n_elements > XML_ELEMENTS_MAX) {
		stop(w, -EPROTO);
		return;
	}
	byte_buf_clear(&w->text);
	r = w->visitor->open(w->context, local_name(name), w->depth);
	if (r < 0)
		stop(w, r);
}

static void XMLCALL on_end(void *context, const char *name)
{
	struct walk *w = context;
	int r;

	if (w->result != 0)
		return;
	byte_buf_u8(&w->text, 0);
	if (w->text.failed) {
		stop(w, -ENOMEM);
		return;
	}
	r = w->visitor->close(w->context, local_name(name), w->depth, (const char *)w->text.data);
	byte_buf_clear(&w->text);
	w->depth--;
	if (r < 0)
		stop(w, r);
}

static void XMLCALL on_text(void *context, const char *text, int n)
{
	struct walk *w = context;

	if (w->result != 0)
		return;
	if ((size_t)n > XML_TEXT_MAX - w->text.n) {
		stop(w, -EPROTO);
		return;
	}
	byte_buf_append(&w->text, text, (size_t)n);
}

static void XMLCALL on_doctype(void *context, const char *name, const char *system_id,
			       const char *public_id, int has_internal_subset)
{
	(void)name;
	(void)system_id;
	(void)public_id;
	(void)has_internal_subset;
	stop(context, -EPROTO);
}

int xml_read(const void *data, size_t n, const struct xml_visitor *visitor, void *context)
{
	CLEANUP(walk_done) struct walk w = { .visitor = visitor, .context = context };
	enum XML_Status status;

	if (n > XML_BYTES_MAX)
		return -EPROTO;
	w.parser = XML_ParserCreateNS(NULL, NAMESPACE_END);
	if (!w.parser)
		return -ENOMEM;
	XML_SetUserData(w.parser, &w);
	XML_SetElementHandler(w.parser, on_start, on_end);
	XML_SetCharacterDataHandler(w.parser, on_text);
	XML_SetStartDoctypeDeclHandler(w.parser, on_doctype);
	status = XML_Parse(w.parser, data, (int)n, XML_TRUE);
	if (w.result != 0)
		return w.result;
	if (status == XML_STATUS_OK)
		return 0;
	return XML_GetErrorCode(w.parser) == XML_ERROR_NO_MEMORY ? -ENOMEM : -EPROTO;
}
