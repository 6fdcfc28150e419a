from django.db import migrations


def add_tag(apps, schema_editor):
    tags = apps.get_model("shop", "Tag").objects
    tags.using(schema_editor.connection.alias).create(name="classic")


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [migrations.RunPython(add_tag, migrations.RunPython.noop)]
